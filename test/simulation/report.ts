// The result of many seeds as it is kept: a table with the commit that it is of, and a digest of the table itself,
// so that a figure that is changed by hand is noticed (docs/decisions/0050).
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { SOMETIMES } from "./counters.ts";
import type { Summary } from "./summary.ts";

export const RESULT = join(import.meta.dirname, "../../bench/results/simulation.md");
const HOUR_MS = 3_600_000;

function git(...args: string[]): string {
  return execFileSync("git", args, { encoding: "utf8", cwd: import.meta.dirname }).trim();
}

function row(what: string, value: string | number, meaning = ""): string {
  return `| ${what} | ${value} | ${meaning} |`;
}

export interface Run {
  readonly from: number;
  readonly seconds: number;
  /** As it was when the run began. */
  readonly commit: string;
}

/** What is simulated if a run begins now. */
export function currentCommit(): string {
  const changed = git("status", "--porcelain", "--untracked-files=no") === "" ? "" : " with local changes";
  return `${git("rev-parse", "--short=12", "HEAD")}${changed}`;
}

export function renderReport(summary: Summary, run: Run): string {
  const { seeds, operations, commits, simulatedMs, fewest, violated, counters, faults } = summary;
  const total = [...faults.values()].reduce((sum, count) => sum + count, 0);
  const perSecond = (seeds / run.seconds).toFixed(1);
  const table = [
    "| what | count | |",
    "|---|---|---|",
    row("seeds", seeds, `from ${run.from} on`),
    row("seeds with a violation", violated.length),
    row("operations", operations, `at least ${fewest.operations} a seed`),
    row("faults", total, `at least ${fewest.faults} a seed`),
    row("commits judged", commits),
    row("simulated hours", Math.round(simulatedMs / HOUR_MS)),
    row("seeds a second", perSecond, `${run.seconds.toFixed(0)} s on ${cpus().length} cores`),
    ...[...counters].map(([name, count]) => row(`sometimes ${name}`, count, SOMETIMES[name])),
    ...[...faults].map(([fault, count]) => row(`fault ${fault}`, count)),
  ].join("\n");
  const body = `${table}\n\nCommit ${run.commit}, Node ${process.versions.node}.`;
  return `# Simulation\n\n${body}\n\nDigest of the above: ${digestOf(body)}\n`;
}

/** Of what stands between the title and the digest itself. */
export function digestOf(body: string): string {
  return createHash("sha256").update(body).digest("hex");
}

export function keepReport(report: string): void {
  writeFileSync(RESULT, report);
}
