// The model registry: public ids, what each model accepts, its files on disk, and its price base.

export type Size = `${number}x${number}`;
export type Resolution = "480p" | "720p";

export interface ModelSpec {
  readonly id: string;
  readonly task: "text-to-video" | "image-to-video";
  /** Sizes as width x height in pixels; the first is the default. */
  readonly sizes: readonly Size[];
  readonly defaultFrames: number;
  readonly maxFrames: number;
  readonly sigmaMax: number;
  /** Share of key blocks that sparse attention keeps. */
  readonly topkRatio: number;
  /** Micro-dollars for 81 frames. */
  readonly basePriceMicros: Readonly<Partial<Record<Resolution, number>>>;
  /**
   * File names, looked for in `<models dir>/<id>/` and then in `<models dir>/common/`. A transformer's INT8
   * twin, which takes half the disk and is quicker, stands first and is preferred; the original stands last.
   */
  readonly files: {
    readonly transformer: readonly string[];
    readonly vae: string;
    readonly textEncoder: string;
    readonly tokenizer: string;
    /** TAEHV, the small decoder that may stand in for the VAE. */
    readonly tinyDecoder: string;
  };
}

export const FRAMES_PER_SECOND = 16;
export const MIN_FRAMES = 5;
/** Of the sampler that the models were distilled for. */
export const MAX_STEPS = 4;
const SIZES_480P = ["832x480", "480x832", "640x480", "480x640", "640x640"] as const satisfies readonly Size[];
const SIZES_720P = ["1280x720", "720x1280", "960x720", "720x960", "960x960"] as const satisfies readonly Size[];

const COMMON_FILES = {
  vae: "Wan2.1_VAE.pth",
  textEncoder: "models_t5_umt5-xxl-enc-bf16.pth",
  tokenizer: "tokenizer.json",
  tinyDecoder: "taew2_1.pth",
} as const;

const withTwin = (name: string) => [`${name}-quant.pth`, `${name}.pth`] as const;

const T2V = { task: "text-to-video", defaultFrames: 81, maxFrames: 81, sigmaMax: 80, topkRatio: 0.1 } as const;

export const MODELS: readonly ModelSpec[] = [
  {
    ...T2V,
    id: "turboclip-demo",
    sizes: ["256x192", "192x256", "224x224"],
    defaultFrames: 33,
    topkRatio: 0.15,
    basePriceMicros: { "480p": 1_000 },
    files: { ...COMMON_FILES, transformer: withTwin("TurboWan-Demo") },
  },
  {
    ...T2V,
    id: "turbowan2.1-t2v-1.3b-480p",
    sizes: SIZES_480P,
    basePriceMicros: { "480p": 20_000, "720p": 45_000 },
    files: { ...COMMON_FILES, transformer: withTwin("TurboWan2.1-T2V-1.3B-480P") },
  },
  {
    ...T2V,
    id: "turbowan2.1-t2v-14b-480p",
    sizes: SIZES_480P,
    basePriceMicros: { "480p": 90_000 },
    files: { ...COMMON_FILES, transformer: withTwin("TurboWan2.1-T2V-14B-480P") },
  },
  {
    ...T2V,
    id: "turbowan2.1-t2v-14b-720p",
    sizes: [...SIZES_720P, ...SIZES_480P],
    basePriceMicros: { "480p": 90_000, "720p": 220_000 },
    files: { ...COMMON_FILES, transformer: withTwin("TurboWan2.1-T2V-14B-720P") },
  },
];

export function findModel(id: string): ModelSpec | undefined {
  return MODELS.find((model) => model.id === id);
}

/** "832x480" -> { width: 832, height: 480 }. */
export function parseSize(size: Size): { width: number; height: number } {
  const [width, height] = size.split("x").map(Number);
  if (width === undefined || height === undefined) throw new RangeError(`not a size: ${size}`);
  return { width, height };
}

/** 480p sizes have at most 640 x 640 pixels, 720p sizes more. */
export function resolutionOf(size: Size): Resolution {
  const { width, height } = parseSize(size);
  return width * height <= 640 * 640 ? "480p" : "720p";
}

/** Wan's VAE makes 1 + 4 n frames out of n + 1 latent frames. */
export function framesAreValid(frames: number, model: ModelSpec): boolean {
  return Number.isInteger(frames) && frames >= MIN_FRAMES && frames <= model.maxFrames && frames % 4 === 1;
}
