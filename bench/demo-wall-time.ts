// What a newcomer waits for: `npm run demo` in a fresh clone (dependencies, native build, database and keys
// included) and again in the same clone, and where the engine's share of it goes.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Result, Row } from "./table.ts";

const ROOT = resolve(import.meta.dirname, "..");
const WARM_RUNS = 3;
const AIM_SECONDS = 30;

/** The last commit, as `git clone` would bring it to another machine. */
function cloneInto(folder: string): void {
  const clone = spawnSync("git", ["clone", "--quiet", "--no-hardlinks", ROOT, folder], { encoding: "utf8" });
  if (clone.status !== 0) throw new Error(`git clone failed:\n${clone.stderr}`);
}

/** Runs the demo as npm does and returns its wall time and its line of engine stages. */
function runDemo(clone: string): { seconds: number; stages: string } {
  const { TURBOCLIP_HOME: _, TURBOCLIP_NODE_RESTARTED: __, ...env } = process.env;
  const began = performance.now();
  const demo = spawnSync("npm", ["run", "--silent", "demo", "--", "a red ball bouncing on a green field"], {
    cwd: clone,
    encoding: "utf8",
    env,
  });
  const seconds = (performance.now() - began) / 1_000;
  const stages = /^ +engine +(.*)$/m.exec(demo.stdout)?.[1];
  if (demo.status !== 0 || stages === undefined) throw new Error(`the demo failed:\n${demo.stdout}${demo.stderr}`);
  return { seconds, stages };
}

export async function demoWallTime(): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), "turboclip-bench-"));
  const clone = join(folder, "turboclip");
  try {
    cloneInto(clone);
    const cold = runDemo(clone);
    const warm = Array.from({ length: WARM_RUNS }, () => runDemo(clone)).toSorted((a, b) => a.seconds - b.seconds);
    const median = warm[Math.floor(warm.length / 2)] ?? cold;
    const stageRows: Row[] = median.stages.split(", ").map((stage) => {
      const parts = /^(.+) ([\d.]+ s)$/.exec(stage);
      return { what: `warm: ${parts?.[1] ?? stage}`, measured: parts?.[2] ?? "", aim: "" };
    });
    return {
      title: "Demo, from the command to the file",
      rows: [
        {
          what: "cold: fresh clone, npm packages from the registry or its cache",
          measured: `${cold.seconds.toFixed(1)} s`,
          aim: "",
        },
        {
          what: "warm: the same clone again, median",
          measured: `${median.seconds.toFixed(1)} s`,
          aim: `under ${AIM_SECONDS} s`,
        },
        ...stageRows,
      ],
      notes: [`One cold run, ${WARM_RUNS} warm ones, each the whole \`npm run demo\` with start-up and shut-down.`],
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
