// Every mutant is found: the proof that the auditor sees what it is said to see.
import { describe, expect, it } from "vitest";
import type { Mutant } from "./mutant.ts";
import { MUTANTS, SEEDS_PER_MUTANT } from "./mutants.ts";
import { runSeeds } from "./pool.ts";
import type { Violated } from "./summary.ts";

/** The first seed that finds it, or null. One thread each: several mutants run side by side. */
async function killerOf({ edits, first }: Mutant): Promise<Violated | null> {
  let killer: Violated | null = null;
  const rest = Array.from({ length: SEEDS_PER_MUTANT }, (_, i) => i + 1);
  await runSeeds(first === undefined ? rest : [first, ...rest], {
    edits,
    threads: 1,
    ended: ({ seed, violation }) => {
      if (violation !== null) killer = { seed, violation };
      return violation === null;
    },
  });
  return killer;
}

describe("the simulation finds the mutant", () => {
  it.concurrent.each(MUTANTS)("$name", async (mutant) => {
    const killer = await killerOf(mutant);
    expect(killer, `no seed of ${SEEDS_PER_MUTANT} finds it`).not.toBeNull();
  });

  it("refuses a mutant whose edit does not fit its file", async () => {
    const edits = [{ file: "db/queries/clips.ts", from: "this is nowhere", to: "" }];
    await expect(runSeeds([1], { edits, threads: 1, ended: () => true })).rejects.toThrow("0 times, not once");
  });
});
