// What a model set and a clip take of a CUDA device, known from the files' headers before anything is loaded.
import { openAddon } from "./addon.ts";
import { type DeviceOptions, toNativeCuda } from "./device.ts";
import { type EnginePaths, type LargestClip, toNativePaths } from "./index.ts";

/** In bytes. */
export interface DevicePlan {
  /** The transformer's blocks, and how many of them come from the host's memory at each step. */
  readonly layers: number;
  readonly streamed: number;
  /** Weights that stay on the device. */
  readonly transformer: number;
  readonly textEncoder: number;
  readonly decoders: number;
  /** Stages while they run; the ring of streamed blocks is part of the steps. */
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

/** Bytes of a device that a text encoder takes, if it computes there. */
export interface DeviceTextEncoder {
  readonly weights: number;
  readonly scratch: number;
}

const ON_HOST: DeviceTextEncoder = { weights: 0, scratch: 0 };

interface PlanAddon {
  planOnDevice(
    paths: ReturnType<typeof toNativePaths>,
    options: ReturnType<typeof toNativeCuda>,
    clip: LargestClip,
    available: number,
    textEncoder: DeviceTextEncoder,
  ): DevicePlan;
}

/** The plan for so many bytes of a device, which need not be there. Throws an EngineError that names what is wrong. */
export function planOnDevice(
  paths: EnginePaths,
  clip: LargestClip,
  available: number,
  options: Omit<DeviceOptions, "device"> = {},
  textEncoder: DeviceTextEncoder = ON_HOST,
): DevicePlan {
  const [files, cuda] = [toNativePaths(paths), toNativeCuda(0, options)];
  return openAddon<PlanAddon>().planOnDevice(files, cuda, clip, available, textEncoder);
}
