// Draws a scene with an engine, as `render` would, and judges what comes out.
import type { Engine, GenerateRequest } from "../../../native/index.ts";
import type { PromptTokenizer } from "../../../runner/text/tokenizer.ts";
import { judge, type Verdict } from "./judge.ts";
import { halve } from "./picture.ts";
import { type Scene, world } from "./world.ts";

export type Settings = Pick<GenerateRequest, "steps" | "attention" | "topkRatio" | "sigmaMax" | "seed">;

export interface Drawn {
  /** RGB, 8 bits a channel: frames x height x width x 3 bytes. */
  readonly frames: Buffer;
  readonly verdict: Verdict;
  /** Seconds of the engine, all stages. */
  readonly seconds: number;
}

export async function drawScene(
  engine: Engine,
  tokenizer: PromptTokenizer,
  scene: Scene,
  settings: Settings,
): Promise<Drawn> {
  const { width, height, frames } = world;
  const tokenIds = tokenizer.encode(scene.prompt);
  const clip = await engine.generate({ ...settings, tokenIds, width, height, frames, sampler: "sde" });
  const seconds = Object.values(clip.timings).reduce((sum, value) => sum + value, 0);
  return { frames: clip.frames, verdict: judge(halve(clip.frames, frames, height, width), scene), seconds };
}
