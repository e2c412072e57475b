import { describe, expect, it } from "vitest";
import { drain, isFull, measure, refill } from "../../../edge/services/rate/bucket.ts";

const LIMIT = { quota: 60, windowS: 60 };

describe("a token bucket", () => {
  it("is full at first and lets exactly its quota through at once", () => {
    let bucket = refill(undefined, LIMIT, 0);
    for (let n = 60; n > 0; n -= 1) {
      expect(measure(bucket, LIMIT)).toMatchObject({ remaining: n, nextInMs: 0 });
      bucket = drain(bucket);
    }
    expect(measure(bucket, LIMIT)).toEqual({ remaining: 0, fullInMs: 60_000, nextInMs: 1_000 });
  });

  it("fills evenly, by parts of a request too, and no further than its quota", () => {
    const empty = { level: 0, atMs: 0 };
    expect(measure(refill(empty, LIMIT, 250), LIMIT)).toMatchObject({ remaining: 0, nextInMs: 750 });
    expect(measure(refill(refill(empty, LIMIT, 500), LIMIT, 1_000), LIMIT)).toMatchObject({
      remaining: 1,
      nextInMs: 0,
    });
    expect(refill(empty, LIMIT, 86_400_000).level).toBe(60);
    expect(isFull(empty, LIMIT, 59_999)).toBe(false);
    expect(isFull(empty, LIMIT, 60_000)).toBe(true);
  });

  it("loses nothing and gains nothing by a clock that goes back", () => {
    expect(refill({ level: 7, atMs: 10_000 }, LIMIT, 5_000)).toEqual({ level: 7, atMs: 5_000 });
  });
});
