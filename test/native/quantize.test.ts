// The addon's quantize() as a program calls it.
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { openAddon } from "../../native/addon.ts";
import { type QuantizeOptions, quantizeCheckpoint } from "../../native/quantize.ts";
import { writeRandomModel } from "../fixtures/random-model/model-set.ts";

let folder: string;
let input: string;
let output: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "turboclip-quantize-"));
  writeRandomModel(join(folder, "model"));
  input = join(folder, "model", "TurboWan-Demo.pth");
  output = join(folder, "q.pth");
});
afterEach(() => rmSync(output, { force: true }));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const options = (more: Partial<QuantizeOptions> = {}): QuantizeOptions => ({
  replace: false,
  onProgress: () => {},
  signal: new AbortController().signal,
  ...more,
});

it("reports a fraction that rises to 1, and lets the program go on meanwhile", async () => {
  const fractions: number[] = [];
  let turns = 0;
  const turn = setInterval(() => turns++, 0);
  await quantizeCheckpoint(input, output, options({ onProgress: (fraction) => fractions.push(fraction) }));
  clearInterval(turn);
  expect(turns).toBeGreaterThan(0);
  expect(fractions.length).toBeGreaterThan(10);
  expect(fractions).toEqual(fractions.toSorted((a, b) => a - b));
  expect(fractions.at(-1)).toBeLessThanOrEqual(1);
});

it("rejects with the engine's code", async () => {
  await expect(quantizeCheckpoint(join(folder, "none.pth"), output, options())).rejects.toMatchObject({
    code: "file_missing",
  });
  await expect(quantizeCheckpoint(input, input, options())).rejects.toMatchObject({ code: "request_invalid" });
});

it("stops for a signal that is aborted before or meanwhile, and leaves nothing", async () => {
  await expect(quantizeCheckpoint(input, output, options({ signal: AbortSignal.abort() }))).rejects.toMatchObject({
    code: "cancelled",
  });
  const stop = new AbortController();
  const running = quantizeCheckpoint(input, output, options({ signal: stop.signal }));
  stop.abort();
  await expect(running).rejects.toMatchObject({ code: "cancelled" });
  expect(readdirSync(folder)).toEqual(["model"]);
});

it("throws when it is called with something else than files and a function", () => {
  const { quantize } = openAddon<{ quantize: (...args: readonly unknown[]) => unknown }>();
  const files = { input, output, existing: "refuse" };
  for (const args of [[], [{}, () => {}], [{ ...files, existing: "perhaps" }, () => {}], [files], [files, 1]]) {
    expect(() => quantize(...args)).toThrow(expect.objectContaining({ code: "request_invalid" }));
  }
});
