// The kept result of the long run is whole: as many seeds as are asked for, none with a violation, no path missed.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { SOMETIMES } from "./counters.ts";
import { FAULTS } from "./faults.ts";
import { digestOf, RESULT } from "./report.ts";

/** What the kept run is held to at the least. */
const SEEDS = 20_000;
const text = readFileSync(RESULT, "utf8");

/**
 * What the simulator has learnt since that run, so that it is not in it: the seeds of simulation.test.ts alone hold it to
 * be met. The next run that is kept empties the list.
 */
const NEWER: ReadonlySet<string> = new Set<string>();
const isOlder = (name: string) => !NEWER.has(name);

function countOf(what: string): number {
  const found = new RegExp(`^\\| ${what} \\| (\\d+) \\|`, "m").exec(text);
  return found === null ? Number.NaN : Number(found[1]);
}

describe("bench/results/simulation.md", () => {
  it("is as it was written", () => {
    const match = /^# Simulation\n\n([\s\S]*)\n\nDigest of the above: ([0-9a-f]{64})\n$/.exec(text);
    expect(match).not.toBeNull();
    expect(digestOf(match?.[1] ?? "")).toBe(match?.[2]);
  });

  it(`is of at least ${SEEDS} seeds, and none broke an invariant`, () => {
    expect(countOf("seeds")).toBeGreaterThanOrEqual(SEEDS);
    expect(countOf("seeds with a violation")).toBe(0);
  });

  it.each([...NEWER])("says nothing of %s, which is newer", (name) => {
    expect([countOf(`sometimes ${name}`), countOf(`fault ${name}`)]).toEqual([Number.NaN, Number.NaN]);
  });

  it.each(Object.keys(SOMETIMES).filter(isOlder))("came by %s", (name) => {
    expect(countOf(`sometimes ${name}`)).toBeGreaterThan(0);
  });

  it.each(FAULTS.filter(isOlder))("met %s", (fault) => {
    expect(countOf(`fault ${fault}`)).toBeGreaterThan(0);
  });
});
