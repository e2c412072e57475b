import { beforeEach, describe, expect, it } from "vitest";
import { cancelClip } from "../../../edge/services/clips/cancel.ts";
import type { AttemptRef } from "../../../edge/services/leases/attempt.ts";
import { claimClip } from "../../../edge/services/leases/claim.ts";
import { completeAttempt } from "../../../edge/services/leases/complete.ts";
import { failAttempt } from "../../../edge/services/leases/fail.ts";
import { heartbeat } from "../../../edge/services/leases/heartbeat.ts";
import { releaseAttempt } from "../../../edge/services/leases/release.ts";
import { sweepLeases } from "../../../edge/services/leases/sweep.ts";
import { DEFAULT_TIMES, type ObjectStore } from "../../../edge/services/ports.ts";
import type { FailRequest } from "../../../shared/contract/runner.ts";
import { env } from "../support/env.ts";
import { eventsOf, everything, expectInvariants } from "../support/invariants.ts";
import { overtakenDatabase } from "../support/overtaken.ts";
import { completion, DEMO, freshDeployment, freshNonce, LOADING, World } from "../support/world.ts";

beforeEach(freshDeployment);

const { acknowledgeMs, leaseMs, maxAttempts } = DEFAULT_TIMES;
const CRASH: FailRequest = { code: "engine_crashed", message: "The engine process died.", retryable: true };

async function stateOf(id: string) {
  return await env.DB.prepare("select state, attempt, handed_back, lease_until_ms from clips where id = ?")
    .bind(id)
    .first<{ state: string; attempt: number; handed_back: number; lease_until_ms: number | null }>();
}

describe("a clip that takes its runner down every time", () => {
  it("fails after the maximum of attempts, and its hold is released", async () => {
    const world = new World();
    const account = await world.account();
    const { id } = await world.order(account);
    const runner = await world.runner();
    for (let attempt = 1; attempt <= maxAttempts; attempt++) {
      expect((await world.start(runner)).claim).toMatchObject({ clip_id: id, attempt });
      world.advance(leaseMs);
      await sweepLeases(world.ports);
      await expectInvariants();
    }
    expect(await world.get(account, id)).toMatchObject({
      state: "failed",
      charged_micros: 0,
      error: { code: "engine_failed", message: "The clip was given up after 3 attempts that did not finish." },
    });
    expect(
      await claimClip(world.ports, runner, { nonce: freshNonce(), models: [DEMO], loaded_model: null }),
    ).toBeNull();
    expect((await eventsOf(id)).slice(-2)).toEqual(["lease_lost 3", "failed 3"]);
  });

  it("is failed by reported crashes just the same", async () => {
    const world = new World();
    const account = await world.account();
    const { id } = await world.order(account);
    const replies: string[] = [];
    for (let attempt = 1; attempt <= maxAttempts; attempt++) {
      const { ref } = await world.start(await world.runner());
      replies.push((await failAttempt(world.ports, ref, CRASH)).state);
      await expectInvariants();
    }
    expect(replies).toEqual(["queued", "queued", "failed"]);
    expect(await world.get(account, id)).toMatchObject({
      state: "failed",
      error: { code: "engine_failed", message: CRASH.message },
    });
  });
});

describe("a reported failure", () => {
  it("that no other attempt could avoid fails the clip at once, with our own code if it is one", async () => {
    const world = new World();
    const account = await world.account();
    const { id } = await world.order(account);
    const { ref } = await world.start(await world.runner());
    const failure = { code: "moderated", message: "Refused.", retryable: false };
    expect(await failAttempt(world.ports, ref, failure)).toEqual({ state: "failed" });
    expect(await world.get(account, id)).toMatchObject({ state: "failed", error: { code: "moderated" }, attempt: 1 });
    const before = await everything();
    expect(await failAttempt(world.ports, ref, failure)).toEqual({ state: "failed" });
    expect(await everything()).toEqual(before);
    await expectInvariants();
  });

  it("repeated after the clip went back into the queue is a lost lease, and changes nothing", async () => {
    const world = new World();
    await world.order(await world.account());
    const { ref } = await world.start(await world.runner());
    expect(await failAttempt(world.ports, ref, CRASH)).toEqual({ state: "queued" });
    const before = await everything();
    await expect(failAttempt(world.ports, ref, CRASH)).rejects.toMatchObject({ code: "lease_lost" });
    expect(await everything()).toEqual(before);
  });
});

describe("an attempt that is handed back", () => {
  it("does not count against the maximum, keeps the clip's place and takes a new attempt number", async () => {
    const world = new World();
    const account = await world.account();
    const first = await world.order(account);
    world.advance(1);
    await world.order(account);
    for (let attempt = 1; attempt <= maxAttempts + 2; attempt++) {
      const { claim, ref } = await world.start(await world.runner());
      expect(claim).toMatchObject({ clip_id: first.id, attempt });
      expect(await releaseAttempt(world.ports, ref)).toEqual({ state: "queued" });
      await expectInvariants();
    }
    expect(await stateOf(first.id)).toMatchObject({ state: "queued", handed_back: 5 });
  });

  it("counts once it has been handed back 10 times, so that nothing goes round for ever", async () => {
    const world = new World();
    const account = await world.account();
    const { id } = await world.order(account);
    const states: string[] = [];
    for (let attempt = 1; attempt <= 10 + maxAttempts; attempt++) {
      const { ref } = await world.start(await world.runner());
      states.push((await releaseAttempt(world.ports, ref)).state);
    }
    expect(states.at(-2)).toBe("queued");
    expect(states.at(-1)).toBe("failed");
    expect(await world.get(account, id)).toMatchObject({ state: "failed", error: { code: "no_capacity" } });
    await expectInvariants();
  });

  it("that is sent twice at once and gives the clip up is answered the same twice", async () => {
    const world = new World();
    await world.order(await world.account());
    for (let i = 1; i < 10 + maxAttempts; i++) {
      await releaseAttempt(world.ports, (await world.start(await world.runner())).ref);
    }
    const { ref } = await world.start(await world.runner());
    let twin: unknown;
    const db = overtakenDatabase(async () => {
      twin = await releaseAttempt(world.ports, ref);
    });
    expect(await releaseAttempt({ ...world.ports, db }, ref)).toEqual({ state: "failed" });
    expect(twin).toEqual({ state: "failed" });
    await expectInvariants();
  });
});

describe("a claim that is never taken up", () => {
  async function loseClaims(world: World, count: number): Promise<void> {
    const runner = await world.runner();
    for (let i = 0; i < count; i++) {
      await world.claim(runner);
      world.advance(acknowledgeMs);
      await sweepLeases(world.ports);
      await expectInvariants();
    }
  }

  it("is no attempt of the clip: after 10 of them it still has all three", async () => {
    const world = new World();
    const account = await world.account();
    const { id } = await world.order(account);
    await loseClaims(world, 10);
    const states: string[] = [];
    for (let attempt = 1; attempt <= maxAttempts; attempt++) {
      const { ref } = await world.start(await world.runner());
      states.push((await failAttempt(world.ports, ref, CRASH)).state);
    }
    expect(states).toEqual(["queued", "queued", "failed"]);
    expect(await stateOf(id)).toMatchObject({ state: "failed", attempt: 13, handed_back: 10 });
  });

  it("counts from the 11th on, so that a clip which no runner survives reading ends, free of charge", async () => {
    const world = new World();
    const account = await world.account();
    const { id } = await world.order(account);
    await loseClaims(world, 10 + maxAttempts - 1);
    expect(await stateOf(id)).toMatchObject({ state: "queued" });
    await loseClaims(world, 1);
    expect(await world.get(account, id)).toMatchObject({
      state: "failed",
      attempt: 13,
      charged_micros: 0,
      error: { code: "no_capacity" },
    });
    expect((await eventsOf(id)).slice(-2)).toEqual(["lease_lost 13", "failed 13"]);
  });

  it("shares its bound with attempts that are handed back", async () => {
    const world = new World();
    const { id } = await world.order(await world.account());
    await loseClaims(world, 5);
    for (let i = 0; i < 5; i++) await releaseAttempt(world.ports, (await world.start(await world.runner())).ref);
    expect(await stateOf(id)).toMatchObject({ state: "queued", handed_back: 10 });
    await loseClaims(world, 1);
    expect(await stateOf(id)).toMatchObject({ state: "queued", handed_back: 10, attempt: 11 });
  });
});

describe("completing", () => {
  it("captures the held price, records the outputs and ends the clip", async () => {
    const world = new World();
    const account = await world.account();
    const claim = await world.finished(account);
    expect(await eventsOf(claim.clip_id)).toEqual(["queued 0", "leased 1", "started 1", "succeeded 1"]);
    const row = await env.DB.prepare("select outputs, engine from clips").first<{ outputs: string; engine: string }>();
    const declared = (await completion()).outputs;
    expect(JSON.parse(row?.outputs ?? "")).toMatchObject({
      mp4: { ...declared.mp4, key: `clips/${claim.clip_id}/1/clip.mp4` },
      poster: { ...declared.poster, key: `clips/${claim.clip_id}/1/poster.jpg` },
    });
    expect(row?.engine).toBe("cpu/0.1.0");
    await expectInvariants();
  });

  it("tells the owner what made the clip, in what time, and the digest of each file", async () => {
    const world = new World();
    const account = await world.account();
    const { clip_id: id } = await world.finished(account);
    const { sha256 } = (await completion()).outputs.mp4;
    expect(await world.get(account, id)).toMatchObject({
      engine: "cpu/0.1.0",
      model_version: "TurboWan-Demo-quant@3fa1b2c4d5e6",
      timings: { denoise: 1.5, decode: 0.25 },
      output: { mp4: { sha256 }, poster: { sha256 } },
    });
  });

  it("takes the word of a runner from before checkpoints were told", async () => {
    const world = new World();
    const account = await world.account();
    const { id } = await world.order(account);
    expect(await world.get(account, id)).toMatchObject({ engine: null, model_version: null });
    const { claim, ref } = await world.start(await world.runner());
    await world.upload(claim);
    const { model_version: _, ...before } = await completion();
    await completeAttempt(world.ports, ref, before);
    expect(await world.get(account, id)).toMatchObject({ engine: "cpu/0.1.0", model_version: null });
  });

  it("again after success answers as the first time and captures nothing more", async () => {
    const world = new World();
    await world.order(await world.account());
    const { claim, ref } = await world.start(await world.runner());
    await world.upload(claim);
    const first = await completeAttempt(world.ports, ref, await completion());
    const before = await everything();
    world.advance(leaseMs * 10);
    expect(await completeAttempt(world.ports, ref, await completion())).toEqual(first);
    expect(await everything()).toEqual(before);
    await expectInvariants();
  });

  it("10 times at once captures once", async () => {
    const world = new World();
    await world.order(await world.account());
    const { claim, ref } = await world.start(await world.runner());
    await world.upload(claim);
    const request = await completion();
    const all = await Promise.all(Array.from({ length: 10 }, () => completeAttempt(world.ports, ref, request)));
    expect(all).toEqual(Array.from({ length: 10 }, () => ({ state: "succeeded" })));
    await expectInvariants();
  });

  it("without a heartbeat before it is still worth its price: they may all have been lost", async () => {
    const world = new World();
    await world.order(await world.account());
    const runner = await world.runner();
    const claim = await world.claim(runner);
    await world.upload(claim);
    const ref = { runnerId: runner, token: claim.lease_token };
    expect(await completeAttempt(world.ports, ref, await completion())).toEqual({ state: "succeeded" });
    await expectInvariants();
  });

  it("is refused as upload_missing until every output is there, and can then be repeated", async () => {
    const world = new World();
    await world.order(await world.account());
    const { claim, ref } = await world.start(await world.runner());
    const before = await everything();
    const request = await completion();
    const missing = (pointer: string) => ({ code: "upload_missing", pointer });
    await expect(completeAttempt(world.ports, ref, request)).rejects.toMatchObject(missing("/outputs/mp4"));
    await env.BUCKET.put(`clips/${claim.clip_id}/1/clip.mp4`, "clip");
    await expect(completeAttempt(world.ports, ref, request)).rejects.toMatchObject(missing("/outputs/poster"));
    expect(await everything()).toEqual(before);
    await world.upload(claim);
    expect(await completeAttempt(world.ports, ref, request)).toEqual({ state: "succeeded" });
  });

  it.each([
    ["another size", "clip!", "/outputs/mp4/bytes"],
    ["another MD5", "CLIP", "/outputs/mp4/md5"],
  ])(
    "is refused as upload_rejected when what was uploaded has %s, and nothing is charged",
    async (_, bytes, pointer) => {
      const world = new World();
      await world.order(await world.account());
      const { claim, ref } = await world.start(await world.runner());
      await world.upload(claim);
      await env.BUCKET.put(`clips/${claim.clip_id}/1/clip.mp4`, bytes);
      const before = await everything();
      const refusal = { code: "upload_rejected", pointer };
      await expect(completeAttempt(world.ports, ref, await completion())).rejects.toMatchObject(refusal);
      expect(await everything()).toEqual(before);
      await expectInvariants();
    },
  );

  it("does not take another attempt's upload for its own", async () => {
    const world = new World();
    await world.order(await world.account());
    const { claim, ref } = await world.start(await world.runner());
    await world.upload(claim);
    await failAttempt(world.ports, ref, CRASH);
    const { ref: second } = await world.start(await world.runner());
    const refusal = { code: "upload_missing" };
    await expect(completeAttempt(world.ports, second, await completion())).rejects.toMatchObject(refusal);
  });
});

describe("what happens to one clip", () => {
  const moves = {
    "first heartbeat": (world: World, ref: AttemptRef) => heartbeat(world.ports, ref, LOADING),
    "second heartbeat": async (world: World, ref: AttemptRef) => {
      await heartbeat(world.ports, ref, LOADING);
      world.advance(leaseMs / 2 + 1);
      await heartbeat(world.ports, ref, LOADING);
    },
    complete: async (world: World, ref: AttemptRef) => completeAttempt(world.ports, ref, await completion()),
    "fail for good": (world: World, ref: AttemptRef) => failAttempt(world.ports, ref, { ...CRASH, retryable: false }),
    fail: (world: World, ref: AttemptRef) => failAttempt(world.ports, ref, CRASH),
    release: (world: World, ref: AttemptRef) => releaseAttempt(world.ports, ref),
  };

  it.each(Object.entries(moves))("leaves all others alone: %s", async (_, move) => {
    const world = new World();
    const account = await world.account();
    const runner = await world.runner();
    for (let i = 0; i < 4; i++) await world.order(account);
    const claim = await world.claim(runner);
    const ref = { runnerId: runner, token: claim.lease_token };
    await world.upload(claim);
    await world.claim(runner);
    await world.start(runner);
    const others = async () =>
      (await env.DB.prepare("select * from clips where id <> ? order by turn").bind(claim.clip_id).all()).results;
    const before = await others();
    expect(before.map(({ state }) => state)).toEqual(["leased", "running", "queued"]);
    world.advance(1_000);
    await move(world, ref);
    expect(await others()).toEqual(before);
    await expectInvariants();
  });
});

describe("cancel against complete", () => {
  it("exactly one wins, and both are told the same", async () => {
    for (let round = 0; round < 10; round++) {
      const world = new World();
      const account = await world.account();
      const { id } = await world.order(account);
      const { claim, ref } = await world.start(await world.runner());
      await world.upload(claim);
      const request = await completion();
      const moves = [() => cancelClip(world.ports, account, id), () => completeAttempt(world.ports, ref, request)];
      if (round % 2 === 1) moves.reverse();
      const outcomes = await Promise.allSettled(moves.map(async (move) => (await move()).state));
      const told = outcomes.map((outcome) => (outcome.status === "fulfilled" ? outcome.value : outcome.reason.code));
      const { state } = await world.get(account, id);
      const expected = state === "cancelled" ? ["cancelled", "lease_lost"] : ["succeeded", "not_cancellable"];
      expect(new Set(told)).toEqual(new Set(expected));
      await expectInvariants();
    }
  });

  it("cancel wins when it comes while complete is looking at the bucket", async () => {
    const world = new World();
    const account = await world.account();
    const { id } = await world.order(account);
    const { claim, ref } = await world.start(await world.runner());
    await world.upload(claim);
    const store: ObjectStore = {
      ...world.ports.store,
      head: async (key) => {
        await cancelClip(world.ports, account, id);
        return await world.ports.store.head(key);
      },
    };
    const late = completeAttempt({ ...world.ports, store }, ref, await completion());
    await expect(late).rejects.toMatchObject({ code: "lease_lost" });
    expect(await world.get(account, id)).toMatchObject({ state: "cancelled", charged_micros: 0, output: null });
    await expectInvariants();
  });
});
