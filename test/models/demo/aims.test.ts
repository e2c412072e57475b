import { expect, test } from "vitest";
import { AIMS, binomialCumulative, leastRight } from "../../../models/demo/aims.ts";

test("the binomial distribution is that of printed tables", () => {
  expect(binomialCumulative(16, 20, 0.95)).toBeCloseTo(0.0159, 4);
  expect(binomialCumulative(14, 20, 0.9)).toBeCloseTo(0.0113, 4);
  expect(binomialCumulative(10, 20, 0.5)).toBeCloseTo(0.5881, 4);
  expect(binomialCumulative(20, 20, 0.95)).toBeCloseTo(1, 12);
});

test("of 20 clips 16 must be right where 95 of 100 are the aim, and 14 where 90 are", () => {
  expect([AIMS.colour, AIMS.background, AIMS.motion].map((aim) => leastRight(20, aim))).toEqual([16, 16, 14]);
});
