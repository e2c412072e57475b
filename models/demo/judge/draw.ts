// Draws scenes with an engine, as `render` would, and judges what comes out.
import type { Engine, GenerateRequest } from "../../../native/index.ts";
import type { PromptTokenizer } from "../../../runner/text/tokenizer.ts";
import { judge, type Verdict } from "./judge.ts";
import { halve } from "./picture.ts";
import { type Scene, world } from "./world.ts";

export type Settings = Pick<GenerateRequest, "steps" | "attention" | "topkRatio" | "sigmaMax">;

export interface Drawn {
  readonly scene: Scene;
  /** RGB, 8 bits a channel: frames x height x width x 3 bytes. */
  readonly frames: Buffer;
  readonly verdict: Verdict;
  /** Seconds of the engine, all stages. */
  readonly seconds: number;
}

/** One clip after another, each with its place among the scenes as seed. */
export async function drawScenes(
  engine: Engine,
  tokenizer: PromptTokenizer,
  scenes: readonly Scene[],
  settings: Settings,
): Promise<Drawn[]> {
  const drawn: Drawn[] = [];
  const { width, height, frames } = world;
  for (const [seed, scene] of scenes.entries()) {
    const tokenIds = tokenizer.encode(scene.prompt);
    const clip = await engine.generate({ ...settings, tokenIds, width, height, frames, seed, sampler: "sde" });
    const seconds = Object.values(clip.timings).reduce((sum, value) => sum + value, 0);
    const verdict = judge(halve(clip.frames, frames, height, width), scene);
    drawn.push({ scene, frames: clip.frames, verdict, seconds });
  }
  return drawn;
}
