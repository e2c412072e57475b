// What a newcomer waits for: `npm run demo` in a fresh folder (database and keys made anew) and again in the
// same folder, and where the engine's share of it goes.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Result, Row } from "./table.ts";

const ROOT = resolve(import.meta.dirname, "..");
const WARM_RUNS = 3;
const AIM_SECONDS = 30;

/** Runs the demo as npm does and returns its wall time and its line of engine stages. */
function runDemo(home: string): { seconds: number; stages: string } {
  const began = performance.now();
  const demo = spawnSync("npm", ["run", "--silent", "demo", "--", "a red ball bouncing on a green field"], {
    cwd: ROOT,
    encoding: "utf8",
    env: { ...process.env, TURBOCLIP_HOME: home },
  });
  const seconds = (performance.now() - began) / 1_000;
  const stages = /^ +engine +(.*)$/m.exec(demo.stdout)?.[1];
  if (demo.status !== 0 || stages === undefined) throw new Error(`the demo failed:\n${demo.stdout}${demo.stderr}`);
  return { seconds, stages };
}

export async function demoWallTime(): Promise<Result> {
  const home = mkdtempSync(join(tmpdir(), "turboclip-bench-"));
  try {
    const cold = runDemo(home);
    const warm = Array.from({ length: WARM_RUNS }, () => runDemo(home)).toSorted((a, b) => a.seconds - b.seconds);
    const median = warm[Math.floor(warm.length / 2)] ?? cold;
    const stageRows: Row[] = median.stages.split(", ").map((stage) => {
      const parts = /^(.+) ([\d.]+ s)$/.exec(stage);
      return { what: `warm: ${parts?.[1] ?? stage}`, measured: parts?.[2] ?? "", aim: "" };
    });
    return {
      title: "Demo, from the command to the file",
      rows: [
        { what: "cold: fresh folder, dependencies and build there", measured: `${cold.seconds.toFixed(1)} s`, aim: "" },
        {
          what: "warm: the same folder again, median",
          measured: `${median.seconds.toFixed(1)} s`,
          aim: `under ${AIM_SECONDS} s`,
        },
        ...stageRows,
      ],
      notes: [`One cold run, ${WARM_RUNS} warm ones, each the whole \`npm run demo\` with start-up and shut-down.`],
    };
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}
