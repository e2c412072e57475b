// What the engine process needs of the native wrapper; tests put a small engine of their own in its place.
import type { Engine, EngineInfo, EngineOptions, EnginePaths } from "../../native/index.ts";
import type { DevicePlan, PlannedLoad } from "../../native/plan.ts";

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
  /** What a load would take of the device; absent where there is none. Throws what the load would. */
  plan?(paths: EnginePaths, load: PlannedLoad): DevicePlan;
  load(paths: EnginePaths, options?: EngineOptions): Promise<LoadedEngine>;
}
