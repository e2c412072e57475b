// What is asked of the demo model on prompts that it never saw, and how few right clips of a sample deny it.
import type { Tally } from "./judge/judge.ts";

export const AIMS: Readonly<Tally> = { of: 100, colour: 95, background: 95, motion: 90 };

/** The chance with which a model that just reaches its aim fails the test of a sample. */
const SIGNIFICANCE = 0.01;

/** P(X <= most) of a binomial distribution. */
export function binomialCumulative(most: number, trials: number, probability: number): number {
  let term = (1 - probability) ** trials;
  let sum = 0;
  for (let k = 0; k <= most; k += 1) {
    sum += term;
    term *= ((trials - k) / (k + 1)) * (probability / (1 - probability));
  }
  return sum;
}

/** The fewest right clips of a sample that do not deny a rate of `aim` of AIMS.of (one-sided binomial test). */
export function leastRight(clips: number, aim: number): number {
  let least = 0;
  while (binomialCumulative(least, clips, aim / AIMS.of) < SIGNIFICANCE) least += 1;
  return least;
}
