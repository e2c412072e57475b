// What a model set and a clip take of a CUDA device, known from the files' headers before anything is loaded.
import { openAddon } from "./addon.ts";
import { type DeviceOptions, type TextEncoding, toNativeCuda } from "./device.ts";
import { type EnginePaths, type LargestClip, toNativePaths } from "./index.ts";

/** In bytes. */
export interface DevicePlan {
  /** What auto became, or what was asked for. */
  readonly textEncoding: TextEncoding;
  /** What was planned for. */
  readonly available: number;
  /** The transformer's blocks, and how many of them come from the host's memory at each step. */
  readonly layers: number;
  readonly streamed: number;
  /** Weights that stay on the device. */
  readonly transformer: number;
  readonly textEncoder: number;
  readonly decoders: number;
  /** Stages while they run; the ring of streamed blocks is part of the steps, loading the text encoder of a prompt's. */
  readonly denoise: number;
  readonly ring: number;
  readonly decode: number;
  readonly text: number;
  readonly peak: number;
  /** Pinned memory of the host. */
  readonly host: number;
  readonly fits: boolean;
  /** What would fit, if it does not. */
  readonly remedy: string;
}

interface PlanAddon {
  planOnDevice(
    paths: ReturnType<typeof toNativePaths>,
    options: ReturnType<typeof toNativeCuda> & { readonly whole: boolean },
    clip: LargestClip,
    available: number | undefined,
  ): DevicePlan;
}

/** What is planned for. */
export interface PlannedLoad {
  readonly clip: LargestClip;
  /** As of EngineOptions. */
  readonly whole?: boolean | undefined;
  /** Bytes of a device, which then need not be there; what may still be taken of the one of the options, if absent. */
  readonly available?: number | undefined;
}

/** Throws an EngineError that names what is wrong; that nothing fits is an answer. */
export function planOnDevice(
  paths: EnginePaths,
  { clip, whole = false, available }: PlannedLoad,
  options: Omit<DeviceOptions, "device"> & { readonly device?: number } = {},
): DevicePlan {
  const cuda = { ...toNativeCuda(options.device ?? 0, options), whole };
  return openAddon<PlanAddon>().planOnDevice(toNativePaths(paths), cuda, clip, available);
}

const TEXT_ENCODER_WORDS = {
  bf16: "on the card in bfloat16",
  int8: "on the card in INT8",
  host: "on the host",
} as const;

/** "8.74 of 31.00 GiB at the peak; all 30 blocks on the card; text encoder on the card in INT8 (4.31 GiB)". */
export function describePlan(plan: DevicePlan): string {
  const { layers, streamed, peak, available, textEncoding, textEncoder, host } = plan;
  const blocks =
    streamed === 0
      ? `all ${layers} blocks on the card`
      : `${layers - streamed} of ${layers} blocks on the card, the others in ${gib(host)} GiB of pinned memory`;
  const held = textEncoder === 0 ? "" : ` (${gib(textEncoder)} GiB)`;
  const text = `text encoder ${TEXT_ENCODER_WORDS[textEncoding]}${held}`;
  return `${gib(peak)} of ${gib(available)} GiB at the peak; ${blocks}; ${text}`;
}

function gib(bytes: number): string {
  return (bytes / 2 ** 30).toFixed(2);
}
