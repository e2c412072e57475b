// The suite's seeds: no invariant broken, no rare path missed, and a seed that is the same run each time.
import { describe, expect, it } from "vitest";
import { runSeeds } from "./pool.ts";
import { LEAST, type SeedResult } from "./result.ts";
import { Summary } from "./summary.ts";

const SEEDS = 500;

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i + 1);
}

async function resultsOf(seeds: readonly number[], keepTrace: boolean): Promise<SeedResult[]> {
  const results: SeedResult[] = [];
  await runSeeds(seeds, { keepTrace, ended: (result) => results.push(result) > 0 });
  return results.toSorted((a, b) => a.seed - b.seed);
}

describe(`${SEEDS} seeds`, () => {
  const summary = new Summary();

  it("break no invariant", async () => {
    await runSeeds(upTo(SEEDS), {
      ended: (result) => {
        summary.add(result);
        return true;
      },
    });
    expect(summary.violated).toEqual([]);
    expect(summary.seeds).toBe(SEEDS);
  });

  it("come by every rare path and meet every fault", () => {
    expect(summary.never).toEqual([]);
  });

  it(`are worth ${LEAST.operations} operations, ${LEAST.runners} runners and ${LEAST.faults} faults each`, () => {
    expect(summary.fewest.operations).toBeGreaterThanOrEqual(LEAST.operations);
    expect(summary.fewest.runners).toBeGreaterThanOrEqual(LEAST.runners);
    expect(summary.fewest.faults).toBeGreaterThanOrEqual(LEAST.faults);
  });
});

describe("a seed", () => {
  it("is the same run twice, to the byte, in a thread that is fresh and in one that is not", async () => {
    const seeds = [7, 8];
    const first = await resultsOf(seeds, true);
    const again = await resultsOf([...seeds].reverse(), true);
    expect(again.map(({ digest }) => digest)).toEqual(first.map(({ digest }) => digest));
    expect(again.map(({ trace }) => trace)).toEqual(first.map(({ trace }) => trace));
    expect(first.every(({ trace }) => (trace?.length ?? 0) > LEAST.operations)).toBe(true);
  });

  it("differs from the next one", async () => {
    const digests = (await resultsOf(upTo(4), false)).map(({ digest }) => digest);
    expect(new Set(digests).size).toBe(4);
  });
});
