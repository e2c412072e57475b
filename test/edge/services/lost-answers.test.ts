// D1 never retries a write, so an error can mean "committed, but the answer was lost", or "never arrived".
// Whoever asked asks again; every transition must then have happened exactly once.
import { beforeEach, describe, expect, it } from "vitest";
import { cancelClip } from "../../../edge/services/clips/cancel.ts";
import { claimClip } from "../../../edge/services/leases/claim.ts";
import { completeAttempt } from "../../../edge/services/leases/complete.ts";
import { failAttempt } from "../../../edge/services/leases/fail.ts";
import { heartbeat } from "../../../edge/services/leases/heartbeat.ts";
import { releaseAttempt } from "../../../edge/services/leases/release.ts";
import { sweepLeases } from "../../../edge/services/leases/sweep.ts";
import { getBalance } from "../../../edge/services/money/balance.ts";
import { grantCredit } from "../../../edge/services/money/grant.ts";
import { DEFAULT_TIMES } from "../../../edge/services/ports.ts";
import { micros } from "../../../shared/pricing.ts";
import { flakyDatabase, type Loss } from "../support/flaky.ts";
import { eventsOf, everything, expectInvariants } from "../support/invariants.ts";
import { CLIP_PRICE, completion, DEMO, freshDeployment, freshNonce, LOADING, World } from "../support/world.ts";

beforeEach(freshDeployment);

const CRASH = { code: "engine_crashed", message: "The engine process died.", retryable: false };

function flakyWorld(): { world: World; lose: (what: Loss) => void } {
  const { db, lose } = flakyDatabase();
  return { world: new World({ db }), lose };
}

describe.each(["request", "answer"] as const)("when the database loses the %s", (loss) => {
  const lost = "Network connection lost";

  it("an order with an idempotency key that is sent again makes one clip and one hold", async () => {
    const { world, lose } = flakyWorld();
    const account = await world.account();
    lose(loss);
    await expect(world.order(account, {}, "k")).rejects.toThrow(lost);
    const clip = await world.order(account, {}, "k");
    expect(await world.order(account, {}, "k")).toEqual(clip);
    expect((await getBalance(world.ports, account)).pending_micros).toBe(CLIP_PRICE);
    await expectInvariants();
  });

  it("a grant that is sent again credits once", async () => {
    const { world, lose } = flakyWorld();
    const accountId = await world.account(0);
    const grant = { accountId, amountMicros: micros(5), reason: "test", idempotencyKey: "g" };
    lose(loss);
    await expect(grantCredit(world.ports, grant)).rejects.toThrow(lost);
    expect(await grantCredit(world.ports, grant)).toBe(await grantCredit(world.ports, grant));
    expect((await getBalance(world.ports, accountId)).posted_micros).toBe(5);
    await expectInvariants();
  });

  it("a poll that is sent again with its nonce gets the one claim", async () => {
    const { world, lose } = flakyWorld();
    const account = await world.account();
    await world.order(account);
    await world.order(account);
    const runner = await world.runner();
    const nonce = freshNonce();
    lose(loss);
    await expect(claimClip(world.ports, runner, { nonce, models: [DEMO], loaded_model: null })).rejects.toThrow(lost);
    expect(await world.claim(runner, nonce)).toEqual(await world.claim(runner, nonce));
    await expectInvariants();
  });

  it("a first heartbeat that is sent again starts the clip once", async () => {
    const { world, lose } = flakyWorld();
    const { id } = await world.order(await world.account());
    const runner = await world.runner();
    const ref = { runnerId: runner, token: (await world.claim(runner)).lease_token };
    lose(loss);
    await expect(heartbeat(world.ports, ref, LOADING)).rejects.toThrow(lost);
    expect(await heartbeat(world.ports, ref, LOADING)).toMatchObject({ cancel: false });
    expect(await eventsOf(id)).toEqual(["queued 0", "leased 1", "started 1"]);
    await expectInvariants();
  });

  it("a completion that is sent again succeeds and captures once", async () => {
    const { world, lose } = flakyWorld();
    const account = await world.account();
    await world.order(account);
    const { claim, ref } = await world.start(await world.runner());
    await world.upload(claim);
    lose(loss);
    await expect(completeAttempt(world.ports, ref, await completion())).rejects.toThrow(lost);
    expect(await completeAttempt(world.ports, ref, await completion())).toEqual({ state: "succeeded" });
    expect((await getBalance(world.ports, account)).posted_micros).toBe(1_000_000 - CLIP_PRICE);
    await expectInvariants();
  });

  it("a final failure that is reported again fails the clip and releases once", async () => {
    const { world, lose } = flakyWorld();
    const account = await world.account();
    await world.order(account);
    const { ref } = await world.start(await world.runner());
    lose(loss);
    await expect(failAttempt(world.ports, ref, CRASH)).rejects.toThrow(lost);
    expect(await failAttempt(world.ports, ref, CRASH)).toEqual({ state: "failed" });
    expect((await getBalance(world.ports, account)).available_micros).toBe(1_000_000);
    await expectInvariants();
  });

  it("an attempt that is handed back again is handed back once", async () => {
    const { world, lose } = flakyWorld();
    const { id } = await world.order(await world.account());
    const { ref } = await world.start(await world.runner());
    lose(loss);
    await expect(releaseAttempt(world.ports, ref)).rejects.toThrow(lost);
    // To the runner both answers mean the same: the attempt is over.
    const again = await releaseAttempt(world.ports, ref).catch((error: { code: string }) => error.code);
    expect(again).toEqual(loss === "answer" ? "lease_lost" : { state: "queued" });
    expect(await eventsOf(id)).toEqual(["queued 0", "leased 1", "started 1", "handed_back 1"]);
    await expectInvariants();
  });

  it("a cancellation that is sent again cancels and releases once", async () => {
    const { world, lose } = flakyWorld();
    const account = await world.account();
    const { id } = await world.order(account);
    lose(loss);
    await expect(cancelClip(world.ports, account, id)).rejects.toThrow(lost);
    expect(await cancelClip(world.ports, account, id)).toMatchObject({ state: "cancelled" });
    expect((await getBalance(world.ports, account)).available_micros).toBe(1_000_000);
    await expectInvariants();
  });

  it("a sweep that is run again takes the attempt back once, and the others were not kept waiting", async () => {
    const { world, lose } = flakyWorld();
    const account = await world.account();
    const runner = await world.runner();
    const clips = [await world.order(account), await world.order(account)];
    for (const _ of clips) await world.claim(runner);
    world.advance(DEFAULT_TIMES.acknowledgeMs);
    lose(loss);
    await expect(sweepLeases(world.ports)).rejects.toThrow(lost);
    expect(await eventsOf(clips[1]?.id ?? "")).toEqual(["queued 0", "leased 1", "lease_lost 1"]);
    expect(await sweepLeases(world.ports)).toBeNull();
    expect(await eventsOf(clips[0]?.id ?? "")).toEqual(["queued 0", "leased 1", "lease_lost 1"]);
    const settled = await everything();
    expect(await sweepLeases(world.ports)).toBeNull();
    expect(await everything()).toEqual(settled);
    await expectInvariants();
  });
});
