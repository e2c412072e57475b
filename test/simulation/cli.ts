// `npm run simulate -- --seed N` replays one seed and prints how it ended and the digest of its trace; with --trace
// the trace itself. `npm run simulate -- --seeds N [--from M] [--keep]` runs many, and with --keep writes what they
// came to into bench/results/simulation.md. Ctrl-C ends it with what it has.
import { parseArgs } from "node:util";
import { runSeeds } from "./pool.ts";
import { currentCommit, keepReport, renderReport } from "./report.ts";
import type { SeedResult } from "./result.ts";
import { Summary } from "./summary.ts";

const HELP = "usage: npm run simulate -- --seed N [--trace] | --seeds N [--from M] [--keep]\n";
const PROGRESS_EVERY = 500;

function count(text: string | undefined, otherwise: number): number {
  const value = text === undefined ? otherwise : Number(text);
  if (!Number.isSafeInteger(value) || value < 0 || value >= 2 ** 32) {
    throw new RangeError(`${text} is no seed and no number of seeds: give an integer from 0 to 4294967295`);
  }
  return value;
}

async function replay(seed: number, showTrace: boolean): Promise<boolean> {
  const results: SeedResult[] = [];
  await runSeeds([seed], { threads: 1, keepTrace: showTrace, ended: (result) => results.push(result) > 0 });
  const [result] = results;
  if (result === undefined) throw new Error(`seed ${seed} gave no result`);
  const { violation, digest, operations, commits, faults, simulatedMs, trace } = result;
  for (const line of trace ?? []) process.stdout.write(`${line}\n`);
  const struck = Object.values(faults).reduce((sum, times) => sum + times, 0);
  process.stdout.write(
    `seed ${seed}: ${violation ?? "every invariant holds"}\n` +
      `${operations} operations, ${commits} commits, ${struck} faults, ${Math.round(simulatedMs / 1_000)} s simulated\n` +
      `trace ${digest}\n`,
  );
  return violation === null;
}

async function many(from: number, seeds: number, keep: boolean): Promise<boolean> {
  const summary = new Summary();
  const commit = currentCommit();
  const began = performance.now();
  let stopped = false;
  process.once("SIGINT", () => {
    stopped = true;
  });
  await runSeeds(
    Array.from({ length: seeds }, (_, i) => from + i),
    {
      ended: (result) => {
        summary.add(result);
        if (result.violation !== null) process.stdout.write(`seed ${result.seed}: ${result.violation}\n`);
        if (summary.seeds % PROGRESS_EVERY === 0) process.stdout.write(`${summary.seeds} seeds\n`);
        return !stopped;
      },
    },
  );
  const report = renderReport(summary, { from, commit, seconds: (performance.now() - began) / 1_000 });
  if (keep) keepReport(report);
  process.stdout.write(report);
  return summary.violated.length === 0;
}

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    seeds: { type: "string" },
    from: { type: "string" },
    keep: { type: "boolean", default: false },
    trace: { type: "boolean", default: false },
  },
});
if ((values.seed === undefined) === (values.seeds === undefined)) {
  process.stderr.write(HELP);
  process.exit(2);
}
const holds =
  values.seed === undefined
    ? await many(count(values.from, 1), count(values.seeds, 0), values.keep)
    : await replay(count(values.seed, 0), values.trace);
process.exitCode = holds ? 0 : 1;
