// How far a clip is, as one number for people.
import type { Clip } from "../../../shared/contract/clips.ts";
import { isTerminal, type Stage } from "../../../shared/states.ts";

/** From and to which per cent each stage counts: sampling takes most of the time. */
const SPANS = {
  load: [0, 5],
  text_encode: [5, 10],
  denoise: [10, 80],
  decode: [80, 92],
  encode: [92, 96],
  upload: [96, 99],
} as const satisfies Record<Stage, readonly [from: number, to: number]>;

/** Roughly, from 0 to 100; an ended clip that did not succeed has 0. */
export function percentOf({ state, progress }: Pick<Clip, "state" | "progress">): number {
  if (state === "succeeded") return 100;
  if (progress === null || isTerminal(state)) return 0;
  const { stage, step, steps, fraction } = progress;
  const [from, to] = SPANS[stage];
  const done = fraction ?? (steps === 0 ? 0 : Math.min(1, step / steps));
  return Math.floor(from + (to - from) * done);
}
