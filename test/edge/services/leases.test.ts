import { beforeEach, describe, expect, it } from "vitest";
import { cancelClip } from "../../../edge/services/clips/cancel.ts";
import { claimClip } from "../../../edge/services/leases/claim.ts";
import { completeAttempt } from "../../../edge/services/leases/complete.ts";
import { failAttempt } from "../../../edge/services/leases/fail.ts";
import { heartbeat } from "../../../edge/services/leases/heartbeat.ts";
import { releaseAttempt } from "../../../edge/services/leases/release.ts";
import { sweepLeases } from "../../../edge/services/leases/sweep.ts";
import { signUpload } from "../../../edge/services/leases/upload.ts";
import { DEFAULT_TIMES } from "../../../edge/services/ports.ts";
import type { FailRequest } from "../../../shared/contract/runner.ts";
import { env } from "../support/env.ts";
import { eventsOf, everything, expectInvariants } from "../support/invariants.ts";
import { overtakenDatabase } from "../support/overtaken.ts";
import { completion, DEMO, freshDeployment, freshNonce, LOADING, World } from "../support/world.ts";

beforeEach(freshDeployment);

const { acknowledgeMs, leaseMs, stallMs } = DEFAULT_TIMES;
const CRASH: FailRequest = { code: "engine_crashed", message: "The engine process died.", retryable: true };

async function stateOf(id: string) {
  return await env.DB.prepare("select state, attempt, handed_back, lease_until_ms from clips where id = ?")
    .bind(id)
    .first<{ state: string; attempt: number; handed_back: number; lease_until_ms: number | null }>();
}

describe("claiming", () => {
  it("leases the oldest queued clip and sets the timer before it", async () => {
    const world = new World();
    const account = await world.account();
    const first = await world.order(account, { prompt: "first", seed: 7 });
    world.advance(1);
    await world.order(account, { prompt: "second" });
    const claim = await world.claim(await world.runner());
    expect(claim).toMatchObject({
      clip_id: first.id,
      attempt: 1,
      lease_until_ms: world.nowMs + acknowledgeMs,
      request: { model: DEMO, prompt: "first", width: 256, height: 192, frames: 33, steps: 4, sampler: "sde", seed: 7 },
    });
    expect(world.bell.wakes).toEqual([world.nowMs + acknowledgeMs]);
    expect(await eventsOf(first.id)).toEqual(["queued 0", "leased 1"]);
    await expectInvariants();
  });

  it("finds nothing for models that no queued clip wants, and sets no timer", async () => {
    const world = new World();
    await world.order(await world.account());
    const poll = { nonce: freshNonce(), models: ["turbowan2.1-t2v-1.3b-480p"], loaded_model: null };
    expect(await claimClip(world.ports, await world.runner(), poll)).toBeNull();
    expect(world.bell.wakes).toEqual([]);
  });

  it("gives the same claim to the same runner and nonce, and leases nothing else", async () => {
    const world = new World();
    const account = await world.account();
    await world.order(account);
    await world.order(account);
    const runner = await world.runner();
    const nonce = freshNonce();
    const claim = await world.claim(runner, nonce);
    const before = await everything();
    world.advance(1_000);
    expect(await world.claim(runner, nonce)).toEqual(claim);
    expect(await everything()).toEqual(before);
  });

  it("gives one claim to 10 concurrent polls with one nonce", async () => {
    const world = new World();
    const account = await world.account();
    await world.order(account);
    await world.order(account);
    const runner = await world.runner();
    const nonce = freshNonce();
    const claims = await Promise.all(Array.from({ length: 10 }, () => world.claim(runner, nonce)));
    expect(new Set(claims.map(({ lease_token }) => lease_token)).size).toBe(1);
    await expectInvariants();
  });

  it("gives each of 5 clips to one of 8 concurrent polls, and nothing to the others", async () => {
    const world = new World();
    const account = await world.account();
    for (let i = 0; i < 5; i++) await world.order(account);
    const runner = await world.runner();
    const polls = Array.from({ length: 8 }, () =>
      claimClip(world.ports, runner, { nonce: freshNonce(), models: [DEMO], loaded_model: null }),
    );
    const claims = (await Promise.all(polls)).filter((claim) => claim !== null);
    expect(new Set(claims.map(({ clip_id }) => clip_id)).size).toBe(5);
    expect(claims).toHaveLength(5);
    await expectInvariants();
  });

  it("does not give a runner another's claim for the same nonce", async () => {
    const world = new World();
    await world.order(await world.account());
    const nonce = freshNonce();
    await world.claim(await world.runner(), nonce);
    expect(
      await claimClip(world.ports, await world.runner(), { nonce, models: [DEMO], loaded_model: null }),
    ).toBeNull();
  });
});

describe("a heartbeat", () => {
  it("acknowledges the claim when it is the first: the clip runs", async () => {
    const world = new World();
    const { id } = await world.order(await world.account());
    const runner = await world.runner();
    const claim = await world.claim(runner);
    world.advance(200);
    const reply = await heartbeat(world.ports, { runnerId: runner, token: claim.lease_token }, LOADING);
    expect(reply).toEqual({ lease_until_ms: world.nowMs + leaseMs, cancel: false });
    expect(await stateOf(id)).toMatchObject({ state: "running", lease_until_ms: world.nowMs + leaseMs });
    expect(await eventsOf(id)).toEqual(["queued 0", "leased 1", "started 1"]);
    await expectInvariants();
  });

  it("writes the database only when less than half of the lease is left", async () => {
    const world = new World();
    await world.order(await world.account());
    const { ref } = await world.start(await world.runner());
    const before = await everything();
    world.advance(leaseMs / 2);
    const first = await heartbeat(world.ports, ref, { stage: "denoise", step: 1, steps: 4 });
    expect(first.lease_until_ms).toBe(world.nowMs + leaseMs / 2);
    expect(await everything()).toEqual(before);
    world.advance(1);
    const second = await heartbeat(world.ports, ref, { stage: "denoise", step: 1, steps: 4 });
    expect(second.lease_until_ms).toBe(world.nowMs + leaseMs);
    expect(await everything()).not.toEqual(before);
  });

  it("that is overtaken by a later one neither shortens the lease nor takes progress back", async () => {
    const world = new World();
    const { id } = await world.order(await world.account());
    const { ref } = await world.start(await world.runner());
    world.advance(leaseMs - 1_000);
    let later = { lease_until_ms: 0, cancel: false };
    const db = overtakenDatabase(async () => {
      world.advance(500);
      later = await heartbeat(world.ports, ref, { stage: "denoise", step: 3, steps: 4 });
      world.advance(-500);
    });
    const late = await heartbeat({ ...world.ports, db }, ref, { stage: "denoise", step: 2, steps: 4 });
    expect(late).toEqual(later);
    expect(await stateOf(id)).toMatchObject({ state: "running", lease_until_ms: later.lease_until_ms });
    const row = await env.DB.prepare("select progress from clips where id = ?").bind(id).first<{ progress: string }>();
    expect(JSON.parse(row?.progress ?? "")).toEqual({ stage: "denoise", step: 3, steps: 4 });
    await expectInvariants();
  });

  it("is told to cancel once the clip is cancelled, and the token then ends nothing else", async () => {
    const world = new World();
    const account = await world.account();
    const { id } = await world.order(account);
    const { claim, ref } = await world.start(await world.runner());
    await cancelClip(world.ports, account, id);
    expect(await heartbeat(world.ports, ref, LOADING)).toMatchObject({ cancel: true });
    await world.upload(claim);
    const before = await everything();
    await expect(completeAttempt(world.ports, ref, await completion())).rejects.toMatchObject({ code: "lease_lost" });
    await expect(failAttempt(world.ports, ref, CRASH)).rejects.toMatchObject({ code: "lease_lost" });
    await expect(releaseAttempt(world.ports, ref)).rejects.toMatchObject({ code: "lease_lost" });
    expect(await everything()).toEqual(before);
    await expectInvariants();
  });

  it("is refused when the token is made up, or another runner's", async () => {
    const world = new World();
    await world.order(await world.account());
    const { ref } = await world.start(await world.runner());
    const other = await world.runner();
    const refusal = { code: "lease_lost" };
    await expect(heartbeat(world.ports, { ...ref, token: "made-up" }, LOADING)).rejects.toMatchObject(refusal);
    await expect(heartbeat(world.ports, { ...ref, runnerId: other }, LOADING)).rejects.toMatchObject(refusal);
  });

  it("never shows progress going back within an attempt", async () => {
    const world = new World();
    const account = await world.account();
    const { id } = await world.order(account);
    const { ref } = await world.start(await world.runner());
    for (const [stage, step] of [
      ["denoise", 3],
      ["denoise", 2],
      ["load", 0],
    ] as const) {
      world.advance(leaseMs / 2 + 1);
      await heartbeat(world.ports, ref, { stage, step, steps: 4 });
      expect((await world.get(account, id)).progress).toEqual({ stage: "denoise", step: 3, steps: 4 });
    }
  });
});

describe("an attempt that is never acknowledged", () => {
  it("is taken back after the acknowledgement time, and the clip waits again", async () => {
    const world = new World();
    const { id } = await world.order(await world.account());
    const runner = await world.runner();
    const nonce = freshNonce();
    const claim = await world.claim(runner, nonce);
    world.advance(acknowledgeMs - 1);
    expect(await sweepLeases(world.ports)).toBe(claim.lease_until_ms);
    expect(await stateOf(id)).toMatchObject({ state: "leased" });
    world.advance(1);
    expect(await sweepLeases(world.ports)).toBeNull();
    expect(await stateOf(id)).toMatchObject({ state: "queued", attempt: 1, lease_until_ms: null });
    expect(await eventsOf(id)).toEqual(["queued 0", "leased 1", "lease_lost 1"]);
    expect(world.bell.rings).toEqual([DEMO, DEMO]);
    const next = await world.claim(runner, nonce);
    expect(next).toMatchObject({ clip_id: id, attempt: 2 });
    expect(next.lease_token).not.toBe(claim.lease_token);
    await expectInvariants();
  });
});

describe("an attempt that goes silent", () => {
  it("is taken back when its lease runs out, and its runner, come back, changes nothing", async () => {
    const world = new World();
    const account = await world.account();
    const { id } = await world.order(account);
    const { claim, ref: zombie } = await world.start(await world.runner());
    await world.upload(claim);
    world.advance(leaseMs);
    await sweepLeases(world.ports);
    const { ref: successor } = await world.start(await world.runner());
    const before = await everything();
    const refusal = { code: "lease_lost" };
    await expect(heartbeat(world.ports, zombie, LOADING)).rejects.toMatchObject(refusal);
    await expect(completeAttempt(world.ports, zombie, await completion())).rejects.toMatchObject(refusal);
    await expect(failAttempt(world.ports, zombie, { ...CRASH, retryable: false })).rejects.toMatchObject(refusal);
    await expect(releaseAttempt(world.ports, zombie)).rejects.toMatchObject(refusal);
    const upload = { kind: "mp4", type: "video/mp4", bytes: 4, md5: `${"y".repeat(22)}==` } as const;
    await expect(signUpload(world.ports, zombie, upload)).rejects.toMatchObject(refusal);
    expect(await everything()).toEqual(before);
    expect(await heartbeat(world.ports, successor, LOADING)).toMatchObject({ cancel: false });
    expect(await world.get(account, id)).toMatchObject({ attempt: 2, state: "running" });
    await expectInvariants();
  });

  it("still counts when its work arrives late but before it was taken back", async () => {
    const world = new World();
    const account = await world.account();
    const { id } = await world.order(account);
    const { claim, ref } = await world.start(await world.runner());
    world.advance(leaseMs + 1);
    await world.upload(claim);
    expect(await completeAttempt(world.ports, ref, await completion())).toEqual({ state: "succeeded" });
    await sweepLeases(world.ports);
    expect(await world.get(account, id)).toMatchObject({ state: "succeeded" });
    await expectInvariants();
  });

  it("is left alone by a sweep that read it before its heartbeat came", async () => {
    const world = new World();
    const { id } = await world.order(await world.account());
    const { ref } = await world.start(await world.runner());
    world.advance(leaseMs);
    // The sweep has read the overdue row; the heartbeat is committed before the sweep's own batch.
    let raced = false;
    const { db } = world.ports;
    const racing = new Proxy(db, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name);
        if (name !== "batch" || raced) return typeof value === "function" ? value.bind(target) : value;
        return async (statements: Parameters<typeof db.batch>[0]) => {
          raced = true;
          await heartbeat(world.ports, ref, { stage: "denoise", step: 1, steps: 4 });
          return await target.batch(statements);
        };
      },
    });
    await sweepLeases({ ...world.ports, db: racing });
    expect(raced).toBe(true);
    expect(await stateOf(id)).toMatchObject({ state: "running", lease_until_ms: world.nowMs + leaseMs });
    await expectInvariants();
  });
});

describe("an attempt that stalls", () => {
  it("is taken back after the stall time although its heartbeats come", async () => {
    const world = new World();
    const { id } = await world.order(await world.account());
    const { ref } = await world.start(await world.runner());
    const startedAt = world.nowMs;
    const beat = () => heartbeat(world.ports, ref, { stage: "denoise", step: 1, steps: 4 });
    world.advance(20_000);
    await beat();
    const movedAt = world.nowMs;
    while (world.nowMs + 5_000 < movedAt + stallMs) {
      world.advance(5_000);
      expect((await beat()).lease_until_ms).toBeLessThanOrEqual(movedAt + stallMs);
      await sweepLeases(world.ports);
      expect(await stateOf(id)).toMatchObject({ state: "running" });
    }
    expect(world.nowMs - startedAt).toBeGreaterThan(stallMs);
    world.advance(5_000);
    await expect(beat()).rejects.toMatchObject({ code: "lease_lost" });
    await sweepLeases(world.ports);
    expect(await stateOf(id)).toMatchObject({ state: "queued", attempt: 1 });
    const event = await env.DB.prepare("select detail from clip_events where event = 'lease_lost'").first();
    expect(event?.detail).toBe("no progress");
    await expectInvariants();
  });

  it("lives on as long as it makes a step within the stall time", async () => {
    const world = new World();
    const { id } = await world.order(await world.account());
    const { ref } = await world.start(await world.runner());
    for (let step = 1; step <= 4; step++) {
      for (let waited = 0; waited < stallMs - 10_000; waited += 5_000) {
        world.advance(5_000);
        await heartbeat(world.ports, ref, { stage: "denoise", step, steps: 4 });
        await sweepLeases(world.ports);
      }
    }
    expect(await stateOf(id)).toMatchObject({ state: "running", attempt: 1 });
  });

  it("lives on as long as the fraction of its one long step grows within the stall time", async () => {
    const world = new World();
    const { id } = await world.order(await world.account());
    const { ref } = await world.start(await world.runner());
    for (let tenth = 1; tenth <= 9; tenth++) {
      for (let waited = 0; waited < stallMs - 10_000; waited += 5_000) {
        world.advance(5_000);
        await heartbeat(world.ports, ref, { stage: "denoise", step: 0, steps: 1, fraction: tenth / 10 });
        await sweepLeases(world.ports);
      }
    }
    expect(await stateOf(id)).toMatchObject({ state: "running", attempt: 1 });
  });
});

describe("a sweep", () => {
  it("run twice at once takes each attempt back once", async () => {
    const world = new World();
    const account = await world.account();
    const runner = await world.runner();
    for (let i = 0; i < 4; i++) {
      await world.order(account);
      await world.claim(runner);
    }
    world.advance(acknowledgeMs);
    await Promise.all([sweepLeases(world.ports), sweepLeases(world.ports)]);
    const lost = await env.DB.prepare("select count(*) as n from clip_events where event = 'lease_lost'").first();
    expect(lost?.n).toBe(4);
    expect(world.bell.rings.filter((model) => model === DEMO)).toHaveLength(8);
    await expectInvariants();
  });

  it("says when to come back: at the earliest lease that is still held", async () => {
    const world = new World();
    const account = await world.account();
    await world.order(account);
    await world.start(await world.runner());
    world.advance(1_000);
    await world.order(account);
    await world.claim(await world.runner());
    expect(await sweepLeases(world.ports)).toBe(world.nowMs + acknowledgeMs);
    world.advance(acknowledgeMs);
    expect(await sweepLeases(world.ports)).toBe(world.nowMs - 1_000 - acknowledgeMs + leaseMs);
  });
});
