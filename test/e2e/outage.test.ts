import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CREDIT_MICROS, type System, startSystem, waitForStep } from "./support.ts";

/** The fault under test, twice as long as a lease. */
const OUTAGE_MS = 60_000;

let system: System;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system?.close());

test("an edge that is down for a minute in mid-clip loses nothing and charges once", async () => {
  await system.startRunner("runner");
  const customer = await system.customer();
  const created = await customer.createClip({ model: "turboclip-demo", prompt: "waves at night" });
  await waitForStep(customer, created.id, 1);
  await system.edge.service.kill();
  await delay(OUTAGE_MS);
  await system.restartEdge();
  const clip = await customer.waitForClip(created.id);
  expect(clip).toMatchObject({ state: "succeeded", charged_micros: clip.price_micros });
  const balance = await customer.getBalance();
  expect(balance).toMatchObject({ posted_micros: CREDIT_MICROS - clip.price_micros, pending_micros: 0 });
});
