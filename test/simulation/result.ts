// What one seed comes to. Apart from the simulation itself, so that whoever only reads results need not load it.
import type { Sometimes } from "./counters.ts";
import type { Fault } from "./faults.ts";

/** What a seed is worth at the least. */
export const LEAST = { operations: 200, runners: 3, faults: 20 } as const;

export interface SeedResult {
  readonly seed: number;
  readonly violation: string | null;
  readonly digest: string;
  readonly operations: number;
  readonly runners: number;
  readonly commits: number;
  readonly faults: Readonly<Partial<Record<Fault, number>>>;
  readonly counters: Readonly<Partial<Record<Sometimes, number>>>;
  readonly simulatedMs: number;
  /** Only of a seed that is looked at. */
  readonly trace: readonly string[] | null;
}
