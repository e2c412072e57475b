// What `bench` prints of what it has measured.
import { expect, test } from "vitest";
import type { ClipTimes } from "../../../runner/bench/measure.ts";
import { type BenchReport, toMarkdown } from "../../../runner/bench/table.ts";
import { smallClip } from "../support/host.ts";

const clip = (text: number): ClipTimes => ({
  ...{ timings: { text_encode: text, denoise: 0.75, decode: 1, encode: 0.125 }, steps: [0.5, 0.25] },
  ...{ sampled: text + 1.75, delivered: text + 1.875, bytes: 1_234 },
});
const report: BenchReport = {
  settings: {
    request: { ...smallClip(1), steps: 2 },
    sampling: { sigmaMax: 80, attention: "sla", topkRatio: 0.1, decoder: "taehv" },
    ...{ device: 0, textEncoding: undefined, threads: 1 },
  },
  measured: {
    ...{ backend: "cuda", device: "NVIDIA H200", load: 3.5, memory: { held_bytes: 2 ** 30, peak_bytes: 3 * 2 ** 29 } },
    ...{ first: clip(0.5), warm: clip(0.25), backToBack: { clips: 10, seconds: 20, busy: 0.9876 } },
  },
};

test("a table has a row a stage and a step, of the first and of the warm clip", () => {
  const lines = toMarkdown(report).split("\n");
  expect(lines[0]).toMatch(/^turboclip-demo, \d+x\d+, \d+ frames, 2 steps, decoder taehv, NVIDIA H200, turboclip \d/);
  expect(lines.slice(2)).toEqual([
    "| stage | first clip | warm clip |",
    "|---|---|---|",
    "| load | 3.500 s | |",
    "| text_encode | 0.500 s | 0.250 s |",
    "| step 1 | 0.500 s | 0.500 s |",
    "| step 2 | 0.250 s | 0.250 s |",
    "| decode | 1.000 s | 1.000 s |",
    "| prompt to frames | 2.250 s | 2.000 s |",
    "| encode (MP4, poster and preview) | 0.125 s | 0.125 s |",
    "| prompt to files | 2.375 s | 2.125 s |",
    "| MP4 | 1234 bytes | 1234 bytes |",
    "| device memory, peak | | 1.50 GiB |",
    "",
    "10 clips back to back: 20.000 s, the engine busy for 98.8% of it",
  ]);
});

test("a table leaves out what was not measured", () => {
  const { settings, measured } = report;
  const without = toMarkdown({ settings, measured: { ...measured, memory: undefined, backToBack: undefined } });
  expect(without).not.toMatch(/device memory|back to back/);
});
