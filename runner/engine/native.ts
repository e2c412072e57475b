// What the engine process needs of the native wrapper; tests put a small engine of their own in its place.
import type { Engine, EngineInfo, EngineOptions, EnginePaths } from "../../native/index.ts";

export type { EngineProgress, GeneratedClip, GenerateRequest, LargestClip, OnFrames } from "../../native/index.ts";

/** A loaded model. Rejections carry the native error's `code`. */
export type LoadedEngine = Pick<Engine, "vocabulary" | "generate" | "cancel" | "free"> & {
  readonly info: Pick<EngineInfo, "deviceBytes" | "devicePeakBytes">;
};

export interface EngineBackend {
  /** "cpu" or "cuda". */
  readonly name: string;
  /** What it computes on, in words; none for the CPU. */
  readonly device?: string;
  load(paths: EnginePaths, options?: EngineOptions): Promise<LoadedEngine>;
}
