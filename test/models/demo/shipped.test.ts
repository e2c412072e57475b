// The trained set that comes with the project, and the table that is kept of what it draws.
import { readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, test } from "vitest";
import { AIMS } from "../../../models/demo/aims.ts";
import { DEMO_FILES, DEMO_MODELS_DIR, sha256 } from "../../../models/demo/shipped.ts";
import { findModels } from "../../../runner/checkpoints/find.ts";

const ROOT = join(import.meta.dirname, "../../..");
const LARGEST_BYTES = 12_000_000;
const files = Object.values(DEMO_FILES);

test("the shipped set is found by a runner, has the INT8 transformer, and has at most 12 MB", async () => {
  const { found } = await findModels(DEMO_MODELS_DIR, "vae");
  expect(found).toEqual([expect.objectContaining({ id: "turboclip-demo", ...DEMO_FILES })]);
  expect(basename(DEMO_FILES.transformer)).toBe("TurboWan-Demo-quant.pth");
  expect(files.reduce((sum, file) => sum + statSync(file).size, 0)).toBeLessThanOrEqual(LARGEST_BYTES);
});

describe("the table of what the demo model draws", () => {
  const table = readFileSync(join(ROOT, "bench/results/demo-model.md"), "utf8");
  const rows = table.split("\n").filter((line) => /^\| (float|INT8), /.test(line));
  const right = (what: string) => {
    const row = rows.find((line) => line.startsWith(`| ${what} |`)) ?? "";
    const [colour, background, motion, of] = (/colour (\d+), background (\d+), motion (\d+) of (\d+)/.exec(row) ?? [])
      .slice(1)
      .map(Number);
    return { of, colour, background, motion };
  };

  test("is of the shipped files, byte for byte", () => {
    for (const file of files) expect(table).toContain(`${sha256(file)}  ${basename(file)}`);
  });

  test("has a row of 100 clips for either attention, either kind of weights, and 4, 2 and 1 steps", () => {
    const runs = ["float, full attention, 4 steps", "float, SLA, 4 steps", "INT8, full attention, 4 steps"];
    const shipped = ["INT8, SLA, 4 steps", "INT8, SLA, 2 steps", "INT8, SLA, 1 step"];
    expect(rows).toHaveLength(6);
    expect([...runs, ...shipped].map((what) => right(what).of)).toEqual(Array(6).fill(AIMS.of));
  });

  test("says that the shipped set reaches its aims as the product draws with it", () => {
    const found = right("INT8, SLA, 4 steps");
    expect(found.colour).toBeGreaterThanOrEqual(AIMS.colour);
    expect(found.background).toBeGreaterThanOrEqual(AIMS.background);
    expect(found.motion).toBeGreaterThanOrEqual(AIMS.motion);
  });

  test("stands in the model's README as it is", () => {
    const readme = readFileSync(join(ROOT, "models/demo/README.md"), "utf8");
    for (const row of rows) expect(readme).toContain(row);
  });
});
