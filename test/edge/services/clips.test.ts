import { beforeEach, describe, expect, it } from "vitest";
import { cancelClip } from "../../../edge/services/clips/cancel.ts";
import { createClip } from "../../../edge/services/clips/create.ts";
import { heartbeat } from "../../../edge/services/leases/heartbeat.ts";
import { releaseAttempt } from "../../../edge/services/leases/release.ts";
import { getBalance } from "../../../edge/services/money/balance.ts";
import { grantCredit } from "../../../edge/services/money/grant.ts";
import { clipSchema, createClipSchema } from "../../../shared/contract/clips.ts";
import { micros } from "../../../shared/pricing.ts";
import { eventsOf, everything, expectInvariants } from "../support/invariants.ts";
import { CLIP_PRICE, DEMO, freshDeployment, World } from "../support/world.ts";

beforeEach(freshDeployment);

describe("ordering a clip", () => {
  it("holds the price, queues the clip with every default filled in and rings for its model", async () => {
    const world = new World();
    const account = await world.account();
    const clip = await world.order(account);
    expect(clipSchema.parse(clip)).toMatchObject({
      state: "queued",
      model: DEMO,
      size: "256x192",
      frames: 33,
      steps: 4,
      sampler: "sde",
      price_micros: CLIP_PRICE,
      charged_micros: 0,
      attempt: 0,
      output: null,
      created_at: "2026-11-23T12:00:00.000Z",
    });
    expect(await getBalance(world.ports, account)).toEqual({
      posted_micros: 1_000_000,
      pending_micros: CLIP_PRICE,
      available_micros: 1_000_000 - CLIP_PRICE,
    });
    expect(await eventsOf(clip.id)).toEqual(["queued 0"]);
    expect(world.bell.rings).toEqual([DEMO]);
    await expectInvariants();
  });

  it("answers a get with the same clip that create answered", async () => {
    const world = new World();
    const account = await world.account();
    const clip = await world.order(account, {
      seed: Number.MAX_SAFE_INTEGER,
      prompt: "na\u00efve \u{1f3a5} \u0000 end",
    });
    expect({ ...(await world.get(account, clip.id)), queue: null }).toEqual(clip);
  });

  it("prices by resolution and frames, whatever the steps and the seed", async () => {
    const world = new World();
    const account = await world.account();
    const model = "turbowan2.1-t2v-14b-720p";
    expect((await world.order(account, { model })).price_micros).toBe(220_000);
    expect((await world.order(account, { model, size: "832x480", steps: 1, seed: 7 })).price_micros).toBe(90_000);
    expect((await world.order(account, { model, frames: 5 })).price_micros).toBe(Math.ceil((220_000 * 5) / 81));
  });

  it.each([
    ["prompt_empty", { prompt: "" }, "/prompt"],
    ["prompt_empty", { prompt: " \n\t\u3000 " }, "/prompt"],
    ["prompt_too_long", { prompt: "x".repeat(4_001) }, "/prompt"],
    ["invalid_request", { prompt: "half a pair: \ud83c" }, "/prompt"],
    ["model_unknown", { model: "sora" }, "/model"],
    ["size_not_allowed", { size: "832x480" }, "/size"],
    ["frames_invalid", { frames: 32 }, "/frames"],
    ["frames_invalid", { frames: 33.5 }, "/frames"],
    ["frames_invalid", { frames: 1 }, "/frames"],
    ["frames_invalid", { frames: 85 }, "/frames"],
    ["frames_invalid", { frames: -3 }, "/frames"],
  ])("refuses with %s and changes nothing: %j", async (code, request, pointer) => {
    const world = new World();
    const account = await world.account();
    const before = await everything();
    await expect(world.order(account, request)).rejects.toMatchObject({ code, pointer });
    expect(await everything()).toEqual(before);
    expect(world.bell.rings).toEqual([]);
  });

  it("refuses with insufficient_balance when the price is not available, and changes nothing", async () => {
    const world = new World();
    const account = await world.account(CLIP_PRICE - 1);
    const before = await everything();
    await expect(world.order(account)).rejects.toMatchObject({ code: "insufficient_balance" });
    await expect(world.order(account, {}, "a key")).rejects.toMatchObject({ code: "insufficient_balance" });
    expect(await everything()).toEqual(before);
    expect(world.bell.rings).toEqual([]);
  });

  it("spends the last micro-dollar but not one more", async () => {
    const world = new World();
    const account = await world.account(CLIP_PRICE);
    await world.order(account);
    await expect(world.order(account)).rejects.toMatchObject({ code: "insufficient_balance" });
    await expectInvariants();
  });

  it("lets exactly 2 of 20 concurrent holds of 4 against 10 pass", async () => {
    const world = new World();
    // 408 x 2.5: as 4 is to 10.
    const account = await world.account(CLIP_PRICE * 2.5);
    const orders = await Promise.allSettled(Array.from({ length: 20 }, () => world.order(account)));
    expect(orders.filter(({ status }) => status === "fulfilled")).toHaveLength(2);
    const reasons = orders.flatMap((order) => (order.status === "rejected" ? [order.reason.code] : []));
    expect(new Set(reasons)).toEqual(new Set(["insufficient_balance"]));
    expect((await getBalance(world.ports, account)).pending_micros).toBe(CLIP_PRICE * 2);
    await expectInvariants();
  });

  it("draws another seed each time when none is asked for", async () => {
    const world = new World();
    const account = await world.account();
    const seeds = [await world.order(account), await world.order(account)].map(({ seed }) => seed);
    expect(seeds[0]).not.toBe(seeds[1]);
  });
});

describe("an idempotency key", () => {
  const request = createClipSchema.parse({ model: DEMO, prompt: "a red ball" });

  it("gets the first answer again, byte for byte, while the clip has moved on", async () => {
    const world = new World();
    const account = await world.account();
    const first = await createClip(world.ports, world.caller(account), request, "k");
    await world.start(await world.runner());
    world.advance(1_000);
    const again = await createClip(world.ports, world.caller(account), request, "k");
    expect(again).toEqual({ answer: first.answer, replayed: true });
    expect((await getBalance(world.ports, account)).pending_micros).toBe(CLIP_PRICE);
    await expectInvariants();
  });

  it("makes one clip of 10 concurrent requests, and gives all of them its bytes", async () => {
    const world = new World();
    const account = await world.account();
    const all = await Promise.all(
      Array.from({ length: 10 }, () => createClip(world.ports, world.caller(account), request, "k")),
    );
    expect(new Set(all.map(({ answer }) => answer)).size).toBe(1);
    expect(all.filter(({ replayed }) => !replayed)).toHaveLength(1);
    expect((await getBalance(world.ports, account)).pending_micros).toBe(CLIP_PRICE);
    await expectInvariants();
  });

  it("is refused with another body", async () => {
    const world = new World();
    const account = await world.account();
    await createClip(world.ports, world.caller(account), request, "k");
    const other = { ...request, prompt: "a blue ball" };
    await expect(createClip(world.ports, world.caller(account), other, "k")).rejects.toMatchObject({
      code: "idempotency_mismatch",
    });
    await expectInvariants();
  });

  it("belongs to its account", async () => {
    const world = new World();
    const [one, two] = [await world.account(), await world.account()];
    const first = await createClip(world.ports, world.caller(one), request, "k");
    const second = await createClip(world.ports, world.caller(two), request, "k");
    expect(second.replayed).toBe(false);
    expect(second.answer).not.toBe(first.answer);
  });

  it("is forgotten after 24 hours and then orders anew", async () => {
    const world = new World();
    const account = await world.account();
    const first = await createClip(world.ports, world.caller(account), request, "k");
    world.advance(24 * 3_600_000 - 1);
    expect((await createClip(world.ports, world.caller(account), request, "k")).replayed).toBe(true);
    world.advance(1);
    const anew = await createClip(world.ports, world.caller(account), { ...request, prompt: "a blue ball" }, "k");
    expect(anew.replayed).toBe(false);
    expect(anew.answer).not.toBe(first.answer);
    await expectInvariants();
  });

  it("whose first answer ran out between writing and reading is in flight, and then orders anew", async () => {
    const world = new World();
    const account = await world.account();
    const { db } = world.ports;
    let raced = false;
    const racing = new Proxy(db, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name);
        if (name !== "batch" || raced) return typeof value === "function" ? value.bind(target) : value;
        return async (statements: Parameters<typeof db.batch>[0]) => {
          raced = true;
          await createClip(world.ports, world.caller(account), request, "k");
          world.advance(24 * 3_600_000);
          return await target.batch(statements);
        };
      },
    });
    const late = createClip({ ...world.ports, db: racing }, world.caller(account), request, "k");
    await expect(late).rejects.toMatchObject({ code: "idempotency_in_flight" });
    expect((await getBalance(world.ports, account)).pending_micros).toBe(CLIP_PRICE);
    expect((await createClip(world.ports, world.caller(account), request, "k")).replayed).toBe(false);
    await expectInvariants();
  });

  it("is its account's, whichever of its API keys sends it", async () => {
    const world = new World();
    const accountId = await world.account();
    const { id: keyId } = await world.issueKey(accountId);
    const first = await createClip(world.ports, world.caller(accountId), request, "k");
    expect(await createClip(world.ports, { accountId, keyId }, request, "k")).toEqual({
      answer: first.answer,
      replayed: true,
    });
  });

  it("keeps nothing of a refusal: the same request passes once there is credit", async () => {
    const world = new World();
    const account = await world.account(0);
    await expect(createClip(world.ports, world.caller(account), request, "k")).rejects.toMatchObject({
      code: "insufficient_balance",
    });
    const amountMicros = micros(CLIP_PRICE);
    await grantCredit(world.ports, { accountId: account, amountMicros, reason: "test", idempotencyKey: "g" });
    expect((await createClip(world.ports, world.caller(account), request, "k")).replayed).toBe(false);
  });
});

describe("getting a clip", () => {
  it("answers for a foreign clip exactly as for an absent one", async () => {
    const world = new World();
    const [owner, stranger] = [await world.account(), await world.account()];
    const { id } = await world.order(owner);
    const absent = "clip_01j9z3k4m5n6p7q8r9s0t1v2w3" as typeof id;
    const refusal = { code: "not_found", message: "There is no such clip." };
    await expect(world.get(stranger, id)).rejects.toMatchObject(refusal);
    await expect(world.get(stranger, absent)).rejects.toMatchObject(refusal);
  });

  it("shows a leased clip as queued, and one that has started as running from then on", async () => {
    const world = new World();
    const account = await world.account();
    const { id } = await world.order(account);
    const runner = await world.runner();
    const claim = await world.claim(runner);
    expect(await world.get(account, id)).toMatchObject({
      state: "queued",
      attempt: 1,
      progress: null,
      started_at: null,
    });
    const ref = { runnerId: runner, token: claim.lease_token };
    await heartbeat(world.ports, ref, { stage: "denoise", step: 1, steps: 4 });
    const running = await world.get(account, id);
    expect(running).toMatchObject({ state: "running", progress: { stage: "denoise", step: 1, steps: 4 } });
    await releaseAttempt(world.ports, ref);
    expect(await world.get(account, id)).toMatchObject({
      state: "running",
      progress: null,
      started_at: running.started_at,
    });
  });

  it("signs fresh URLs while the output is kept, and shows none afterwards", async () => {
    const world = new World();
    const account = await world.account();
    const { clip_id } = await world.finished(account);
    const clip = await world.get(account, clip_id);
    expect(clip).toMatchObject({ state: "succeeded", charged_micros: CLIP_PRICE, timings: { denoise: 1.5 } });
    expect(clip.output).toMatchObject({
      mp4: { content_type: "video/mp4", bytes: 4 },
      poster: { content_type: "image/jpeg", bytes: 3 },
      expires_at: "2026-11-30T12:00:00.000Z",
    });
    world.advance(5_000);
    expect((await world.get(account, clip_id)).output?.mp4.url).not.toBe(clip.output?.mp4.url);
    world.advance(7 * 24 * 3_600_000);
    expect(await world.get(account, clip_id)).toMatchObject({ state: "succeeded", output: null });
  });
});

describe("cancelling a clip", () => {
  it.each(["queued", "leased", "running"])("ends a %s clip at once and releases its hold", async (state) => {
    const world = new World();
    const account = await world.account();
    const { id } = await world.order(account);
    if (state === "leased") await world.claim(await world.runner());
    if (state === "running") await world.start(await world.runner());
    world.advance(10);
    expect(await cancelClip(world.ports, account, id)).toMatchObject({
      state: "cancelled",
      charged_micros: 0,
      finished_at: "2026-11-23T12:00:00.010Z",
    });
    expect((await getBalance(world.ports, account)).available_micros).toBe(1_000_000);
    await expectInvariants();
  });

  it("answers a second time as the first, and releases once", async () => {
    const world = new World();
    const account = await world.account();
    const { id } = await world.order(account);
    const first = await cancelClip(world.ports, account, id);
    world.advance(1_000);
    const before = await everything();
    expect(await cancelClip(world.ports, account, id)).toEqual(first);
    expect(await everything()).toEqual(before);
    await expectInvariants();
  });

  it("is refused as not_cancellable once the clip has succeeded, and changes nothing", async () => {
    const world = new World();
    const account = await world.account();
    const { clip_id } = await world.finished(account);
    const before = await everything();
    await expect(cancelClip(world.ports, account, clip_id)).rejects.toMatchObject({ code: "not_cancellable" });
    expect(await everything()).toEqual(before);
  });

  it("finds no clip of another account, and leaves it alone", async () => {
    const world = new World();
    const [owner, stranger] = [await world.account(), await world.account()];
    const { id } = await world.order(owner);
    const before = await everything();
    await expect(cancelClip(world.ports, stranger, id)).rejects.toMatchObject({ code: "not_found" });
    expect(await everything()).toEqual(before);
  });
});
