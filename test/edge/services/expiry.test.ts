import { beforeEach, describe, expect, it } from "vitest";
import { cancelClip } from "../../../edge/services/clips/cancel.ts";
import { expireClips } from "../../../edge/services/clips/expire.ts";
import { claimClip } from "../../../edge/services/leases/claim.ts";
import { getBalance } from "../../../edge/services/money/balance.ts";
import { DEFAULT_TIMES } from "../../../edge/services/ports.ts";
import { sweep } from "../../../edge/services/sweep.ts";
import { LIMITS } from "../../../shared/contract/clips.ts";
import { flakyDatabase } from "../support/flaky.ts";
import { eventsOf, everything, expectInvariants } from "../support/invariants.ts";
import { DEMO, freshDeployment, freshNonce, World } from "../support/world.ts";

beforeEach(freshDeployment);

const { acknowledgeMs, leaseMs, queuedMs } = DEFAULT_TIMES;

describe("a clip that nobody starts", () => {
  it("expires at its deadline, not before, free of charge, and says why", async () => {
    const world = new World();
    const account = await world.account();
    const clip = await world.order(account, { expires_after: 60 });
    expect(clip.expires_at).toBe("2026-11-23T12:01:00.000Z");
    world.advance(60_000 - 1);
    expect(await expireClips(world.ports)).toBe(world.nowMs + 1);
    expect(await world.get(account, clip.id)).toMatchObject({ state: "queued" });
    world.advance(1);
    expect(await expireClips(world.ports)).toBeNull();
    expect(await world.get(account, clip.id)).toMatchObject({
      state: "expired",
      charged_micros: 0,
      error: { code: "expired" },
      expires_at: null,
      finished_at: "2026-11-23T12:01:00.000Z",
    });
    expect(await getBalance(world.ports, account)).toMatchObject({ pending_micros: 0, available_micros: 1_000_000 });
    expect(await eventsOf(clip.id)).toEqual(["queued 0", "expired 0"]);
    await expectInvariants();
  });

  it("waits a day unless the order says otherwise, and its ring tells when it expires", async () => {
    const world = new World();
    const account = await world.account();
    const { expires_at } = await world.order(account);
    expect(Date.parse(expires_at ?? "")).toBe(world.nowMs + queuedMs);
    await world.order(account, { expires_after: LIMITS.expiresAfter.min });
    expect(world.bell.expiries).toEqual([world.nowMs + queuedMs, world.nowMs + 10_000]);
  });

  it.each([LIMITS.expiresAfter.min - 1, LIMITS.expiresAfter.max + 1, 10.5])(
    "cannot be told to wait %d seconds",
    async (expires_after) => {
      const world = new World();
      const account = await world.account();
      await expect(world.order(account, { expires_after })).rejects.toThrow("expires_after");
    },
  );

  it("is given to no runner once its time is over, swept or not", async () => {
    const world = new World();
    const account = await world.account();
    await world.order(account, { expires_after: 10 });
    world.advance(10_000);
    const poll = { nonce: freshNonce(), models: [DEMO], loaded_model: null };
    expect(await claimClip(world.ports, await world.runner(), poll)).toBeNull();
  });

  it("is passed over for one that can still be started", async () => {
    const world = new World();
    const account = await world.account();
    await world.order(account, { expires_after: 10 });
    const later = await world.order(account);
    world.advance(10_000);
    expect(await world.claim(await world.runner())).toMatchObject({ clip_id: later.id });
    await expectInvariants();
  });

  it("does not expire twice, and cancelling it then is refused", async () => {
    const world = new World();
    const account = await world.account();
    const { id } = await world.order(account, { expires_after: 10 });
    world.advance(10_000);
    await Promise.all([expireClips(world.ports), expireClips(world.ports)]);
    const before = await everything();
    await expireClips(world.ports);
    await expect(cancelClip(world.ports, account, id)).rejects.toMatchObject({ code: "not_cancellable" });
    expect(await everything()).toEqual(before);
    await expectInvariants();
  });

  it.each(["request", "answer"] as const)("expires once when the sweep's %s is lost", async (loss) => {
    const { db, lose } = flakyDatabase();
    const world = new World({ db });
    const account = await world.account();
    const { id } = await world.order(account, { expires_after: 10 });
    world.advance(10_000);
    lose(loss);
    await expect(expireClips(world.ports)).rejects.toThrow();
    await expectInvariants();
    expect(await expireClips(world.ports)).toBeNull();
    expect(await eventsOf(id)).toEqual(["queued 0", "expired 0"]);
    await expectInvariants();
  });
});

describe("a clip that came back into the queue", () => {
  it("keeps its deadline if it had not started", async () => {
    const world = new World();
    const account = await world.account();
    const { id } = await world.order(account, { expires_after: 10 });
    await world.claim(await world.runner());
    world.advance(acknowledgeMs);
    await sweep(world.ports);
    expect(await eventsOf(id)).toEqual(["queued 0", "leased 1", "lease_lost 1", "expired 1"]);
    await expectInvariants();
  });

  it("has met it if it had started, and waits for its next attempt anew, but not for ever", async () => {
    const world = new World();
    const account = await world.account();
    const { id } = await world.order(account, { expires_after: 10 });
    await world.start(await world.runner());
    world.advance(leaseMs);
    await sweep(world.ports);
    expect(await expireClips(world.ports)).toBe(world.nowMs + queuedMs);
    expect(world.bell.expiries.at(-1)).toBe(world.nowMs + queuedMs);
    expect(await world.get(account, id)).toMatchObject({ state: "running", expires_at: null });
    world.advance(queuedMs);
    await sweep(world.ports);
    expect(await world.get(account, id)).toMatchObject({ state: "expired", charged_micros: 0 });
    await expectInvariants();
  });
});

describe("expiry against a claim", () => {
  it("exactly one wins", async () => {
    for (let round = 0; round < 10; round++) {
      const world = new World();
      const account = await world.account();
      const runner = await world.runner();
      const { id } = await world.order(account, { expires_after: 10 });
      const early = { ...world.ports, clock: { now: () => world.nowMs - 1 } };
      world.advance(10_000);
      const moves = [
        () => claimClip(early, runner, { nonce: freshNonce(), models: [DEMO], loaded_model: null }),
        () => expireClips(world.ports),
      ];
      if (round % 2 === 1) moves.reverse();
      const results = await Promise.all(moves.map((move) => move()));
      const claimed = results.some((result) => result !== null && typeof result === "object");
      const events = await eventsOf(id);
      expect(events).toEqual(["queued 0", claimed ? "leased 1" : "expired 0"]);
      await expectInvariants();
    }
  });

  it("the claim wins when it comes while the sweep is about to expire the clip", async () => {
    const world = new World();
    const account = await world.account();
    const runner = await world.runner();
    const { id } = await world.order(account, { expires_after: 10 });
    const early = { ...world.ports, clock: { now: () => world.nowMs - 1 } };
    world.advance(10_000);
    const { db } = world.ports;
    const racing = new Proxy(db, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name);
        if (name !== "batch") return typeof value === "function" ? value.bind(target) : value;
        return async (statements: Parameters<typeof db.batch>[0]) => {
          await claimClip(early, runner, { nonce: freshNonce(), models: [DEMO], loaded_model: null });
          return await target.batch(statements);
        };
      },
    });
    await expireClips({ ...world.ports, db: racing });
    expect(await eventsOf(id)).toEqual(["queued 0", "leased 1"]);
    await expectInvariants();
  });
});
