// A runner that dies whole, and one that only seems to: its lease is taken back, another runner draws the clip,
// and whatever the first one says when it comes back is refused.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { TurboclipClient } from "../../client/index.ts";
import { CREDIT_MICROS, type System, startSystem, waitForStep } from "./support.ts";

/** Longer than the 5 s between a runner's heartbeats, so that only a silent runner loses its lease. */
const LEASE_TIMES = JSON.stringify({ leaseMs: 8_000 });
const ORDER = { model: "turboclip-demo", prompt: "snow at night" } as const;

let system: System;
// A system each: the parked poll of a runner that has just ended would take the next test's clip for a while.
beforeEach(async () => {
  system = await startSystem({ LEASE_TIMES });
});
afterEach(() => system?.close());

async function expectChargedOnce(customer: TurboclipClient, price: number): Promise<void> {
  const expected = { posted_micros: CREDIT_MICROS - price, pending_micros: 0 };
  expect(await customer.getBalance()).toMatchObject(expected);
}

/** Until the runner's log has a line with this text. */
async function logged(name: string, text: string): Promise<void> {
  while (!(await readFile(join(system.home, `${name}.log`), "utf8")).includes(text)) await nextTurn();
}

test("kill -9 of a whole runner in mid-clip: another runner draws the clip, charged once", async () => {
  const customer = await system.customer();
  const first = await system.startRunner("killed");
  const created = await customer.createClip(ORDER);
  await waitForStep(customer, created.id, 1);
  await first.kill();
  const second = await system.startRunner("successor");
  const clip = await customer.waitForClip(created.id);
  expect(clip).toMatchObject({ state: "succeeded", attempt: 2, charged_micros: clip.price_micros });
  await expectChargedOnce(customer, clip.price_micros);
  await second.stop();
});

test("a runner stopped past its lease and woken again: its completion is refused, the clip charged once", async () => {
  const customer = await system.customer();
  const zombie = await system.startRunner("zombie");
  const created = await customer.createClip(ORDER);
  await waitForStep(customer, created.id, 1);
  process.kill(-zombie.group, "SIGSTOP");
  const second = await system.startRunner("heir");
  const clip = await customer.waitForClip(created.id);
  expect(clip).toMatchObject({ state: "succeeded", attempt: 2 });
  process.kill(-zombie.group, "SIGCONT");
  await logged("zombie", '"end":"lost"');
  // Nothing of it reached the clip: the same files, the same attempt, one charge.
  expect(await customer.getClip(created.id)).toMatchObject({
    state: "succeeded",
    attempt: 2,
    finished_at: clip.finished_at,
    timings: clip.timings,
  });
  await expectChargedOnce(customer, clip.price_micros);
  await Promise.all([second.stop(), zombie.stop()]);
});
