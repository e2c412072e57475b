import { expect, test } from "vitest";
import { findModel, framesAreValid, MODELS, type ModelSpec, resolutionOf } from "../../shared/models.ts";
import { formatDollars, micros, priceOf } from "../../shared/pricing.ts";

function model(id: string): ModelSpec {
  const found = findModel(id);
  if (found === undefined) throw new Error(`no model ${id}`);
  return found;
}

test("the price is the base for 81 frames, scaled by frames and rounded up", () => {
  expect(priceOf(model("turboclip-demo"), "256x192", 33)).toBe(408);
  expect(priceOf(model("turbowan2.1-t2v-1.3b-480p"), "832x480", 81)).toBe(20_000);
  expect(priceOf(model("turbowan2.1-t2v-14b-480p"), "640x640", 65)).toBe(72_223);
  expect(priceOf(model("turbowan2.1-t2v-14b-720p"), "1280x720", 81)).toBe(220_000);
  expect(priceOf(model("turbowan2.1-t2v-14b-720p"), "832x480", 81)).toBe(90_000);
});

test("every size of every model has a price", () => {
  for (const spec of MODELS) {
    for (const size of spec.sizes)
      expect(priceOf(spec, size, spec.defaultFrames), `${spec.id} ${size}`).toBeGreaterThan(0);
  }
});

test("480p and 720p are told apart by pixels, in either orientation", () => {
  expect(["832x480", "480x832", "640x640"].map((size) => resolutionOf(size as "832x480"))).toEqual([
    "480p",
    "480p",
    "480p",
  ]);
  expect(["960x720", "720x960", "960x960"].map((size) => resolutionOf(size as "960x720"))).toEqual([
    "720p",
    "720p",
    "720p",
  ]);
});

test("frames are 4n+1 up to the model's limit", () => {
  const spec = model("turbowan2.1-t2v-1.3b-480p");
  expect([5, 33, 81].every((frames) => framesAreValid(frames, spec))).toBe(true);
  expect([1, 4, 80, 82, 85, 5.5, Number.NaN, -3].some((frames) => framesAreValid(frames, spec))).toBe(false);
});

test("every model's sides are multiples of 16, as its patches need", () => {
  for (const size of MODELS.flatMap((spec) => spec.sizes)) {
    expect(
      size.split("x").every((side) => Number(side) % 16 === 0),
      size,
    ).toBe(true);
  }
});

test("amounts are integers of micro-dollars and nothing else", () => {
  expect(() => micros(0.5)).toThrow("integer");
  expect(() => micros(2 ** 53)).toThrow("integer");
  expect(formatDollars(micros(1_020_408))).toBe("$1.020408");
  expect(formatDollars(micros(-408))).toBe("-$0.000408");
});
