// One runner with two engines on the CPU, against the real worker.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CREDIT_MICROS, type System, startSystem } from "./support.ts";

const ORDER = { model: "turboclip-demo", prompt: "waves", seed: 5 } as const;

let system: System;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system?.close());

describe("a runner with two engines", () => {
  test("makes two clips at once under one id, equal for equal seeds, each charged once", async () => {
    await system.startRunner("two-engines", { env: { TURBOCLIP_GPUS: "cpu,cpu" } });
    const customer = await system.customer();
    const orders = [await customer.createClip(ORDER), await customer.createClip(ORDER)];
    const clips = await Promise.all(orders.map(({ id }) => customer.waitForClip(id)));
    expect(clips.map(({ state, attempt }) => [state, attempt])).toEqual([
      ["succeeded", 1],
      ["succeeded", 1],
    ]);
    const times = clips.map(({ started_at, finished_at }) => [
      Date.parse(started_at ?? ""),
      Date.parse(finished_at ?? ""),
    ]);
    const [[started = 0, finished = 0] = [], [otherStarted = 0, otherFinished = 0] = []] = times;
    expect(Math.max(started, otherStarted)).toBeLessThan(Math.min(finished, otherFinished));
    expect(clips[1]?.output?.mp4.bytes).toBe(clips[0]?.output?.mp4.bytes);
    const spent = clips.reduce((sum, { charged_micros }) => sum + charged_micros, 0);
    expect(await customer.getBalance()).toMatchObject({ posted_micros: CREDIT_MICROS - spent, pending_micros: 0 });
  });
});
