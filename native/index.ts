// The engine in TypeScript: checks a request before it crosses the border to the addon, and types what comes
// back.
import * as z from "zod";
import { EngineError, openAddon } from "./addon.ts";
import { type DeviceOptions, describeCudaDevice, findCudaDevice, toNativeDevice } from "./device.ts";

/** Checkpoint files of one model set, .pth or .safetensors. */
export interface EnginePaths {
  readonly transformer: string;
  readonly textEncoder: string;
  readonly vae: string;
  /** TAEHV (taew2_1.pth), the small decoder that `decoder: "taehv"` asks for. */
  readonly tinyDecoder?: string;
}

export interface EngineOptions {
  /** CPU threads; 0, the default, is one a core. */
  readonly threads?: number;
  /** What the device's memory is planned for; weights alone, if absent. */
  readonly largest?: LargestClip | undefined;
  /** Refuse a device that has no room for all of it, rather than let blocks come from the host's memory. */
  readonly whole?: boolean;
}

/** The largest clip that a set is going to make, as far as its memory goes. */
export interface LargestClip extends Required<Pick<GenerateRequest, "attention" | "topkRatio" | "decoder">> {
  readonly width: number;
  readonly height: number;
  readonly frames: number;
}

const ON_CPU: DeviceOptions = { device: "cpu" };

/** A finished request: nothing but the decoder is left to a default. */
export interface GenerateRequest {
  /** 1 to 512 ids below the text encoder's vocabulary, the closing </s> included. */
  readonly tokenIds: readonly number[];
  /** Pixels, multiples of 16. */
  readonly width: number;
  readonly height: number;
  /** 4 n + 1. */
  readonly frames: number;
  /** 1 to 4. */
  readonly steps: number;
  /** sde adds fresh noise between steps; ode does not. */
  readonly sampler: "sde" | "ode";
  /** Where the noise starts: 80 for text to video. */
  readonly sigmaMax: number;
  /** The same seed and request give the same bytes. */
  readonly seed: number | bigint;
  /** sla attends to the blocks that matter; original to all. */
  readonly attention: "sla" | "original";
  /** Share of key blocks that sla keeps, above 0 and up to 1. */
  readonly topkRatio: number;
  /** The full VAE, the default, or TAEHV: quicker, in less memory, and a likeness of it. */
  readonly decoder?: "vae" | "taehv";
  /** rgb24, the default: 3 bytes a pixel; or nv12, as video encoders take it: BT.709, limited range, 12 bits a pixel. */
  readonly pixels?: "rgb24" | "nv12";
}

export type ComputeStage = "text_encode" | "denoise" | "decode";

export interface EngineProgress {
  readonly stage: ComputeStage;
  /** From 1. */
  readonly step: number;
  readonly steps: number;
  /** Of the whole stage, in [0, 1]. */
  readonly fraction: number;
}

export interface GeneratedClip {
  /** All frames, in the format that was asked for. */
  readonly frames: Buffer;
  /** Seconds by stage. */
  readonly timings: Readonly<Record<ComputeStage, number>>;
}

/** Frames [first, first + count) of the clip are in the buffer of all of them. */
export type OnFrames = (frames: Buffer, first: number, count: number) => void;

/** What was loaded, as read from the tensors. */
export interface EngineInfo {
  readonly backend: string;
  readonly width: number;
  readonly heads: number;
  readonly layers: number;
  readonly textWidth: number;
  readonly vocabulary: number;
  readonly sparseAttention: boolean;
  readonly residentBytes: number;
  /** Whether `decoder: "taehv"` may be asked for. */
  readonly tinyDecoder: boolean;
  /** What the process holds of its device, and held at most; absent on the CPU. */
  readonly deviceBytes?: number;
  readonly devicePeakBytes?: number;
}

/** Clips so far whose prompt was one of the last and needed no text encoder, and those that needed it. */
export interface TextCacheCounts {
  readonly textCacheHits: number;
  readonly textCacheMisses: number;
}

interface NativeRequest extends Required<Omit<GenerateRequest, "tokenIds" | "seed">> {
  readonly tokenIds: Int32Array;
  readonly seed: bigint;
}

interface NativeEngine {
  generate(
    request: NativeRequest,
    onProgress: (progress: EngineProgress) => void,
    onFrames: OnFrames,
  ): Promise<GeneratedClip>;
  cancel(): void;
  free(): void;
  info(): EngineInfo & TextCacheCounts;
}

interface EngineAddon {
  readonly Engine: {
    load(
      paths: ReturnType<typeof toNativePaths>,
      options: Required<EngineOptions> & ReturnType<typeof toNativeDevice>,
    ): Promise<NativeEngine>;
  };
}

const MAX_SEED = 2n ** 64n - 1n;
const side = z.int().min(16).max(2048).multipleOf(16);

const requestSchema = z.strictObject({
  tokenIds: z.array(z.int32().min(0)).min(1).max(512),
  width: side,
  height: side,
  frames: z
    .int()
    .min(1)
    .max(161)
    .refine((frames) => frames % 4 === 1),
  steps: z.int().min(1).max(4),
  sampler: z.enum(["sde", "ode"]),
  sigmaMax: z.number().positive().max(1_000_000),
  seed: z.union([z.int().min(0), z.bigint().min(0n).max(MAX_SEED)]),
  attention: z.enum(["sla", "original"]),
  topkRatio: z.number().positive().max(1),
  decoder: z.enum(["vae", "taehv"]).default("vae"),
  pixels: z.enum(["rgb24", "nv12"]).default("rgb24"),
});

/** What to send, by member. */
const REMEDIES: Readonly<Record<keyof GenerateRequest, string>> = {
  tokenIds: "1 to 512 token ids, the closing </s> included",
  width: "a multiple of 16 from 16 to 2048",
  height: "a multiple of 16 from 16 to 2048",
  frames: "4 n + 1, from 1 to 161 (81 is 5 seconds)",
  steps: "1 to 4",
  sampler: '"sde" or "ode"',
  sigmaMax: "a number above 0 and up to 1000000 (80 for text to video)",
  seed: "an integer from 0 to 2^64 - 1, as a bigint above 2^53",
  attention: '"sla" or "original"',
  topkRatio: "a number above 0 and up to 1 (0.1 for speed, 0.15 for quality)",
  decoder: '"vae" or "taehv"',
  pixels: '"rgb24" or "nv12"',
};

function isMember(name: unknown): name is keyof GenerateRequest {
  return typeof name === "string" && name in REMEDIES;
}

function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (Array.isArray(value)) return `a list of ${value.length}`;
  return typeof value === "object" && value !== null ? "an object" : String(value);
}

/** "frames is 8; send 4 n + 1 ..." for the first thing that is wrong. */
function describeIssue(request: GenerateRequest, issue: z.core.$ZodIssue | undefined): string {
  if (issue?.code === "unrecognized_keys") {
    return `unknown member ${issue.keys.join(", ")}; send ${Object.keys(REMEDIES).join(", ")}`;
  }
  const [member, index] = issue?.path ?? [];
  if (!isMember(member)) return `the request is ${show(request)}; send an object`;
  const value = request[member];
  const inside = typeof index === "number" && Array.isArray(value);
  const found = inside ? `${member}[${index}] is ${show(value[index])}` : `${member} is ${show(value)}`;
  return `${found}; send ${REMEDIES[member]}`;
}

function toNative(request: GenerateRequest): NativeRequest {
  const checked = requestSchema.safeParse(request);
  if (!checked.success) {
    throw new EngineError("request_invalid", describeIssue(request, checked.error.issues[0]));
  }
  const { tokenIds, seed, ...rest } = checked.data;
  return { ...rest, tokenIds: Int32Array.from(tokenIds), seed: BigInt(seed) };
}

/** As the addon takes them: an empty tinyDecoder is none. */
export function toNativePaths({ transformer, textEncoder, vae, tinyDecoder = "" }: EnginePaths) {
  return { denoiser: transformer, textEncoder, vae, tinyDecoder } as const;
}

/** A loaded model set. Makes one clip at a time; rejections carry a `code`. */
export class Engine {
  readonly #native: NativeEngine;
  /** Token ids are below it. */
  readonly vocabulary: number;

  private constructor(native: NativeEngine) {
    this.#native = native;
    this.vocabulary = native.info().vocabulary;
  }

  /** Throws `engine_freed` once it is. */
  get info(): EngineInfo {
    return this.#native.info();
  }

  get textCache(): TextCacheCounts {
    const { textCacheHits, textCacheMisses } = this.#native.info();
    return { textCacheHits, textCacheMisses };
  }

  /** Reads the checkpoints and checks that they belong together; off the JavaScript thread. */
  static async load(paths: EnginePaths, options: EngineOptions = {}, on = ON_CPU): Promise<Engine> {
    const { threads = 0, largest, whole = false } = options;
    const native = { threads, largest, whole, ...toNativeDevice(on) };
    return new Engine(await openAddon<EngineAddon>().Engine.load(toNativePaths(paths), native));
  }

  /**
   * Makes a clip off the JavaScript thread. onFrames hears of frames as they are there, in order. Neither is called any
   * more once the promise is settled: what onFrames has not heard of by then is there all the same.
   */
  async generate(
    request: GenerateRequest,
    onProgress?: (progress: EngineProgress) => void,
    onFrames?: OnFrames,
  ): Promise<GeneratedClip> {
    const native = toNative(request);
    let running = true;
    // A process that exits waits for its threads.
    const stop = () => this.cancel();
    process.once("exit", stop);
    try {
      return await this.#native.generate(
        native,
        (progress) => {
          if (running) onProgress?.(progress);
        },
        (frames, first, count) => {
          if (running) onFrames?.(frames, first, count);
        },
      );
    } finally {
      running = false;
      process.off("exit", stop);
    }
  }

  /** Makes the running generate() reject with code `cancelled` within one block of the model; else nothing. */
  cancel(): void {
    this.#native.cancel();
  }

  /** Gives the memory back; may be repeated. Throws `engine_busy` while a clip is being made. */
  free(): void {
    this.#native.free();
  }
}

/** Where models run on this host. */
export interface EngineBackend {
  readonly name: "cpu" | "cuda";
  /** What it computes on, in words; none for the CPU. */
  readonly device?: string;
  load(paths: EnginePaths, options?: EngineOptions): Promise<Engine>;
}

/**
 * The CPU, or the device that is asked for once it has shown that it computes rightly. Rejects with
 * `backend_unavailable` when the addon is not built or the device cannot be used.
 */
export async function openBackend(on = ON_CPU): Promise<EngineBackend> {
  openAddon<EngineAddon>();
  const load: EngineBackend["load"] = (paths, options) => Engine.load(paths, options, on);
  if (on.device === "cpu") return { name: "cpu", load };
  const found = await findCudaDevice(on.device, on.cudaLibrary, on.textEncoding);
  return { name: "cuda", device: describeCudaDevice(found), load };
}
