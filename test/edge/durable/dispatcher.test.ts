import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Dispatcher } from "../../../edge/durable/dispatcher.ts";
import { remoteBell, theDispatcher } from "../../../edge/platform/objects.ts";
import { cancelClip } from "../../../edge/services/clips/cancel.ts";
import { heartbeat } from "../../../edge/services/leases/heartbeat.ts";
import { DEFAULT_TIMES } from "../../../edge/services/ports.ts";
import type { PollRequest } from "../../../shared/contract/runner.ts";
import type { RunnerId } from "../../../shared/ids.ts";
import { env } from "../support/env.ts";
import { eventsOf, expectInvariants } from "../support/invariants.ts";
import { DEMO, freshDeployment, freshNonce, LOADING, World } from "../support/world.ts";

beforeEach(freshDeployment);
afterEach(() => {
  vi.useRealTimers();
});

const WAN = "turbowan2.1-t2v-1.3b-480p";

/** Services on the real clock, ringing the real Dispatcher. */
function liveWorld(): World {
  return new World({ clock: { now: () => Date.now() }, bell: remoteBell(env.DISPATCHER) });
}

function pollRequest(runnerId: RunnerId, wanted: Partial<PollRequest> = {}): PollRequest {
  const base = { runner_id: runnerId, nonce: freshNonce(), models: [DEMO], loaded_model: null, version: "0.1.0" };
  return { ...base, wait_s: 10, ...wanted };
}

const dispatcher = () => theDispatcher(env.DISPATCHER);

async function untilWaiting(count: number): Promise<void> {
  await vi.waitFor(async () => expect(await dispatcher().waiting()).toBe(count));
}

async function alarmAt(): Promise<number | null> {
  return await runInDurableObject(dispatcher(), (_: Dispatcher, state) => state.storage.getAlarm());
}

describe("the Dispatcher", () => {
  it("answers a poll at once when a clip is queued", async () => {
    const world = liveWorld();
    const { id } = await world.order(await world.account());
    const runner = await world.runner();
    expect(await dispatcher().poll(runner, pollRequest(runner))).toMatchObject({ clip_id: id, attempt: 1 });
  });

  it("answers null when the wait is over", async () => {
    const world = liveWorld();
    const runner = await world.runner();
    expect(await dispatcher().poll(runner, pollRequest(runner, { wait_s: 0.02 }))).toBeNull();
    expect(await dispatcher().waiting()).toBe(0);
  });

  it("hands a clip to a parked poll when it is ordered", async () => {
    const world = liveWorld();
    const account = await world.account();
    const runner = await world.runner();
    const parked = dispatcher().poll(runner, pollRequest(runner));
    await untilWaiting(1);
    const { id } = await world.order(account);
    expect(await parked).toMatchObject({ clip_id: id });
  });

  it("hands 3 clips to 3 of 4 parked polls, one each", async () => {
    const world = liveWorld();
    const account = await world.account();
    const runner = await world.runner();
    const parked = Array.from({ length: 4 }, () => dispatcher().poll(runner, pollRequest(runner, { wait_s: 1 })));
    await untilWaiting(4);
    for (let i = 0; i < 3; i++) await world.order(account);
    const claims = await Promise.all(parked);
    expect(new Set(claims.map((claim) => claim?.clip_id ?? null)).size).toBe(4);
    expect(claims.filter((claim) => claim === null)).toHaveLength(1);
    await expectInvariants();
  });

  it("leaves a poll for other models parked", async () => {
    const world = liveWorld();
    const account = await world.account();
    const runner = await world.runner();
    const other = dispatcher().poll(runner, pollRequest(runner, { models: ["other"], wait_s: 0.2 }));
    await untilWaiting(1);
    await world.order(account);
    expect(await other).toBeNull();
  });

  it("rings another poll when the one that it rang takes a clip of another model, which was first", async () => {
    const world = liveWorld();
    const account = await world.account();
    const [able, only] = [await world.runner(), await world.runner()];
    const both = dispatcher().poll(able, pollRequest(able, { models: [DEMO, WAN] }));
    await untilWaiting(1);
    const one = dispatcher().poll(only, pollRequest(only, { models: [WAN], wait_s: 2 }));
    await untilWaiting(2);
    const first = await new World({ clock: world.ports.clock }).orderBy(world.caller(account)); // its ring is lost
    const second = await world.order(account, { model: WAN });
    expect(await both).toMatchObject({ clip_id: first.id });
    expect(await one).toMatchObject({ clip_id: second.id });
  });

  it("gives the claim of a client that went away to the same nonce, and the older poll with it", async () => {
    const world = liveWorld();
    const account = await world.account();
    const runner = await world.runner();
    const request = pollRequest(runner);
    const gone = dispatcher().poll(runner, request);
    await untilWaiting(1);
    const again = dispatcher().poll(runner, request);
    expect(await gone).toBeNull();
    const { id } = await world.order(account);
    const claim = await again;
    expect(claim).toMatchObject({ clip_id: id });
    expect(await dispatcher().poll(runner, request)).toEqual(claim);
  });

  it("sets its alarm with the first claim and to the earliest deadline", async () => {
    const world = liveWorld();
    expect(await alarmAt()).toBeNull();
    await world.order(await world.account());
    const runner = await world.runner();
    const claim = await dispatcher().poll(runner, pollRequest(runner));
    expect(await alarmAt()).toBe(claim?.lease_until_ms);
  });

  it("takes back an unacknowledged claim by its alarm and hands the clip to the next parked poll", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const world = liveWorld();
    const { id } = await world.order(await world.account());
    const [dead, alive] = [await world.runner(), await world.runner()];
    await dispatcher().poll(dead, pollRequest(dead));
    const parked = dispatcher().poll(alive, pollRequest(alive, { wait_s: 25 }));
    await untilWaiting(1);
    vi.setSystemTime(Date.now() + DEFAULT_TIMES.acknowledgeMs);
    expect(await runDurableObjectAlarm(dispatcher())).toBe(true);
    expect(await parked).toMatchObject({ clip_id: id, attempt: 2 });
    expect(await eventsOf(id)).toEqual(["queued 0", "leased 1", "lease_lost 1", "leased 2"]);
    await expectInvariants();
  });

  it("sets the alarm anew for a lease that was extended, then for what is kept for a time, and to nothing when nothing can run out", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const world = liveWorld();
    const account = await world.account();
    const { id } = await world.order(account);
    const runner = await world.runner();
    const claim = await dispatcher().poll(runner, pollRequest(runner));
    const ref = { runnerId: runner, token: claim?.lease_token ?? "" };
    const { lease_until_ms } = await heartbeat(world.ports, ref, LOADING);
    vi.setSystemTime(claim?.lease_until_ms ?? 0);
    expect(await runDurableObjectAlarm(dispatcher())).toBe(true);
    expect(await alarmAt()).toBe(lease_until_ms);
    vi.setSystemTime(lease_until_ms);
    expect(await runDurableObjectAlarm(dispatcher())).toBe(true);
    expect(await eventsOf(id)).toEqual(["queued 0", "leased 1", "started 1", "lease_lost 1"]);
    const strayRemoval = lease_until_ms + 2 * DEFAULT_TIMES.uploadUrlMs;
    expect(await alarmAt()).toBe(strayRemoval);
    await cancelClip(world.ports, account, id);
    vi.setSystemTime(strayRemoval);
    expect(await runDurableObjectAlarm(dispatcher())).toBe(true);
    const grantForgotten = (await alarmAt()) ?? 0;
    expect(grantForgotten).toBeGreaterThan(strayRemoval);
    vi.setSystemTime(grantForgotten);
    expect(await runDurableObjectAlarm(dispatcher())).toBe(true);
    const dayForgotten = (await alarmAt()) ?? 0;
    expect(dayForgotten).toBeGreaterThan(grantForgotten);
    vi.setSystemTime(dayForgotten);
    expect(await runDurableObjectAlarm(dispatcher())).toBe(true);
    expect(await alarmAt()).toBeNull();
  });

  it("sweeps within a minute of any poll, should the ring that carried a deadline be lost", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const world = new World({ clock: { now: () => Date.now() } });
    const account = await world.account();
    const { id } = await world.order(account, { expires_after: 10 });
    const runner = await world.runner();
    await dispatcher().poll(runner, pollRequest(runner, { models: ["other"], wait_s: 0 }));
    vi.setSystemTime(Date.now() + 60_000);
    expect(await runDurableObjectAlarm(dispatcher())).toBe(true);
    expect(await eventsOf(id)).toEqual(["queued 0", "expired 0"]);
  });

  it("survives a database that fails during the alarm: it tries again soon", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const world = liveWorld();
    const { id } = await world.order(await world.account());
    const runner = await world.runner();
    const claim = await dispatcher().poll(runner, pollRequest(runner));
    vi.setSystemTime(claim?.lease_until_ms ?? 0);
    await env.DB.prepare("alter table clip_events rename to clip_events_away").run();
    expect(await runDurableObjectAlarm(dispatcher())).toBe(true);
    expect(await alarmAt()).toBeGreaterThan(Date.now());
    await env.DB.prepare("alter table clip_events_away rename to clip_events").run();
    expect(await runDurableObjectAlarm(dispatcher())).toBe(true);
    expect((await eventsOf(id)).at(-1)).toBe("lease_lost 1");
    await expectInvariants();
  });

  it("loses nothing when it is evicted: the claim is found by its nonce and the alarm still goes off", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const world = liveWorld();
    const { id } = await world.order(await world.account());
    const runner = await world.runner();
    const request = pollRequest(runner);
    const claim = await dispatcher().poll(runner, request);
    await evictDurableObject(dispatcher());
    expect(await dispatcher().poll(runner, request)).toEqual(claim);
    vi.setSystemTime(claim?.lease_until_ms ?? 0);
    expect(await runDurableObjectAlarm(dispatcher())).toBe(true);
    expect((await eventsOf(id)).at(-1)).toBe("lease_lost 1");
  });
});

describe("the Feed of a clip", () => {
  it("remembers the furthest progress of the latest attempt", async () => {
    const feed = env.FEED.getByName("clip");
    expect(await feed.get(1)).toBeNull();
    await feed.put(1, { stage: "denoise", step: 2, steps: 4 });
    await feed.put(1, { stage: "denoise", step: 1, steps: 4 });
    expect(await feed.get(1)).toEqual({ stage: "denoise", step: 2, steps: 4 });
    await feed.put(2, { stage: "load", step: 0, steps: 0 });
    await feed.put(1, { stage: "upload", step: 0, steps: 0 });
    expect(await feed.get(2)).toEqual({ stage: "load", step: 0, steps: 0 });
    expect(await feed.get(1)).toBeNull();
  });
});
