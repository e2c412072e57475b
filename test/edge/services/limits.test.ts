import { beforeEach, describe, expect, it } from "vitest";
import { forgetDays } from "../../../edge/services/accounts/forget-days.ts";
import { setAccountLimits } from "../../../edge/services/accounts/limit.ts";
import { cancelClip } from "../../../edge/services/clips/cancel.ts";
import { changeKey } from "../../../edge/services/keys/change.ts";
import { completeAttempt } from "../../../edge/services/leases/complete.ts";
import { failAttempt } from "../../../edge/services/leases/fail.ts";
import { DEFAULT_TIMES } from "../../../edge/services/ports.ts";
import { sweep } from "../../../edge/services/sweep.ts";
import { DAY_MS, utcDay } from "../../../shared/days.ts";
import type { AccountId } from "../../../shared/ids.ts";
import { micros } from "../../../shared/pricing.ts";
import { env } from "../support/env.ts";
import { flakyDatabase } from "../support/flaky.ts";
import { everything, expectInvariants } from "../support/invariants.ts";
import { CLIP_PRICE, completion, freshDeployment, World } from "../support/world.ts";

beforeEach(freshDeployment);

const TWO_CLIPS = micros(CLIP_PRICE * 2);
const NOON_TO_MIDNIGHT_S = 12 * 3_600;

async function codesOf(orders: readonly Promise<unknown>[]): Promise<unknown[]> {
  const settled = await Promise.allSettled(orders);
  return settled.map((order) => (order.status === "fulfilled" ? "ordered" : order.reason.code));
}

async function spentOn(id: string): Promise<unknown> {
  return (await env.DB.prepare("select spent_micros from daily_spend where spender_id = ?").bind(id).all()).results;
}

describe("what was spent on a day", () => {
  const spent = async () =>
    (await env.DB.prepare("select utc_day, spent_micros from daily_spend where spender = 'account'").all()).results;

  it("is dropped once the day is over and no clip of it can end any more, and not before", async () => {
    const world = new World();
    const account = await world.account();
    const { id } = await world.order(account);
    const day = utcDay(world.nowMs);
    const dropsAtMs = (day + 2) * DAY_MS + DEFAULT_TIMES.messagesKeptMs;
    world.advance(DAY_MS);
    const next = await world.order(account);
    expect(await forgetDays(world.ports)).toBe(dropsAtMs);
    world.advance(dropsAtMs - world.nowMs - 1);
    expect(await forgetDays(world.ports)).toBe(world.nowMs + 60_000);
    expect(await spent()).toEqual([day, day + 1].map((utc_day) => ({ utc_day, spent_micros: CLIP_PRICE })));
    world.advance(1);
    expect(await forgetDays(world.ports)).toBe(dropsAtMs + DAY_MS);
    expect(await spent()).toEqual([{ utc_day: day + 1, spent_micros: CLIP_PRICE }]);
    for (const late of [id, next.id]) await cancelClip(world.ports, account, late); // as if they had waited so long
    expect(await spent()).toEqual([{ utc_day: day + 1, spent_micros: 0 }]);
    await expectInvariants();
  });

  it("is dropped in bounded batches, and is not looked for again when nothing is left", async () => {
    const world = new World();
    await env.DB.prepare(
      `with recursive n(i) as (select 1 union all select i + 1 from n where i < 1200)
       insert into daily_spend select 'key', 'key_' || i, 1, 0, null from n`,
    ).run();
    const left = async () => (await env.DB.prepare("select count(*) as n from daily_spend").first())?.n;
    expect(await forgetDays(world.ports)).toBe(world.nowMs);
    expect(await left()).toBe(700);
    expect(await forgetDays(world.ports)).toBe(world.nowMs);
    expect(await forgetDays(world.ports)).toBeNull();
    expect(await left()).toBe(0);
  });
});

describe("an account's daily cap", () => {
  it("refuses the order that would exceed it, says which cap, how much and until when, and changes nothing", async () => {
    const world = new World();
    const account = await world.account();
    await setAccountLimits(world.ports, account, { dailyCapMicros: TWO_CLIPS });
    await world.order(account);
    await world.order(account);
    const before = await everything();
    await expect(world.order(account, {}, "a key")).rejects.toMatchObject({
      code: "cap_exceeded",
      message:
        "The clip costs 408 micro-dollars; of the 816 that this account may spend in a day (UTC), 816 are spent.",
      limit: { name: "account_daily_cap", value: 816, resets_at: "2026-11-24T00:00:00.000Z" },
      retryAfterS: NOON_TO_MIDNIGHT_S,
    });
    expect(await everything()).toEqual(before);
    expect(world.bell.rings).toHaveLength(2);
  });

  it("lets exactly 2 of 20 concurrent orders pass that fit in twice", async () => {
    const world = new World();
    const account = await world.account();
    await setAccountLimits(world.ports, account, { dailyCapMicros: micros(TWO_CLIPS + CLIP_PRICE - 1) });
    const codes = await codesOf(Array.from({ length: 20 }, () => world.order(account)));
    expect(codes.filter((code) => code === "ordered")).toHaveLength(2);
    expect(codes.filter((code) => code === "cap_exceeded")).toHaveLength(18);
    await expectInvariants();
  });

  it("counts what is captured, and forgets what failed, was cancelled or expired", async () => {
    const world = new World();
    const account = await world.account();
    await world.finished(account);
    await world.order(account);
    const { ref } = await world.start(await world.runner());
    await failAttempt(world.ports, ref, { code: "moderated", message: "Refused.", retryable: false });
    await cancelClip(world.ports, account, (await world.order(account)).id);
    await world.order(account, { expires_after: 10 });
    expect(await spentOn(account)).toEqual([{ spent_micros: CLIP_PRICE * 2 }]);
    world.advance(10_000);
    await sweep(world.ports);
    expect(await spentOn(account)).toEqual([{ spent_micros: CLIP_PRICE }]);
    await expectInvariants();
  });

  it("begins anew at midnight UTC, and a hold counts against the day on which it was made", async () => {
    const world = new World();
    const account = await world.account();
    await setAccountLimits(world.ports, account, { dailyCapMicros: micros(CLIP_PRICE) });
    world.advance(NOON_TO_MIDNIGHT_S * 1_000 - 1);
    const { id } = await world.order(account);
    await expect(world.order(account)).rejects.toMatchObject({ code: "cap_exceeded", retryAfterS: 1 });
    world.advance(1);
    await world.order(account);
    await expect(world.order(account)).rejects.toMatchObject({ limit: { resets_at: "2026-11-25T00:00:00.000Z" } });
    await cancelClip(world.ports, account, id);
    await expect(world.order(account)).rejects.toMatchObject({ code: "cap_exceeded" });
    await expectInvariants();
  });

  it("lowered below what is spent refuses orders and lets the clips in flight end", async () => {
    const world = new World();
    const account = await world.account();
    await setAccountLimits(world.ports, account, { dailyCapMicros: TWO_CLIPS });
    await world.order(account);
    const { id } = await world.order(account);
    await setAccountLimits(world.ports, account, { dailyCapMicros: micros(1), maxInFlight: 1 });
    await expect(world.order(account)).rejects.toMatchObject({ code: "cap_exceeded", limit: { value: 1 } });
    const { claim, ref } = await world.start(await world.runner());
    await world.upload(claim);
    expect(await completeAttempt(world.ports, ref, await completion())).toEqual({ state: "succeeded" });
    await cancelClip(world.ports, account, id);
    await expectInvariants();
  });

  it("lifted lets orders pass at once", async () => {
    const world = new World();
    const account = await world.account();
    await setAccountLimits(world.ports, account, { dailyCapMicros: micros(0) });
    await expect(world.order(account)).rejects.toMatchObject({ code: "cap_exceeded" });
    await setAccountLimits(world.ports, account, { dailyCapMicros: null });
    await world.order(account);
    await expectInvariants();
  });
});

describe("a key's daily cap", () => {
  it("holds for the key alone, within its account's", async () => {
    const world = new World();
    const accountId = await world.account();
    const { id: keyId } = await world.issueKey(accountId, micros(CLIP_PRICE));
    const codes = await codesOf(Array.from({ length: 5 }, () => world.orderBy({ accountId, keyId, tokenId: null })));
    expect(codes.filter((code) => code === "ordered")).toHaveLength(1);
    await expect(world.orderBy({ accountId, keyId, tokenId: null })).rejects.toMatchObject({
      code: "cap_exceeded",
      limit: { name: "key_daily_cap", value: CLIP_PRICE, resets_at: "2026-11-24T00:00:00.000Z" },
    });
    await world.order(accountId);
    expect(await spentOn(keyId)).toEqual([{ spent_micros: CLIP_PRICE }]);
    expect(await spentOn(accountId)).toEqual([{ spent_micros: CLIP_PRICE * 2 }]);
    await changeKey(world.ports, "operator", keyId, { dailyCapMicros: TWO_CLIPS });
    await world.orderBy({ accountId, keyId, tokenId: null });
    await expectInvariants();
  });
});

describe("the maximum of clips in flight", () => {
  async function limited(world: World, maxInFlight: number): Promise<AccountId> {
    const account = await world.account();
    await setAccountLimits(world.ports, account, { maxInFlight });
    return account;
  }

  it("lets exactly as many of 12 concurrent orders pass, and another for each clip that ends", async () => {
    const world = new World();
    const account = await limited(world, 3);
    const codes = await codesOf(Array.from({ length: 12 }, () => world.order(account)));
    expect(codes.filter((code) => code === "ordered")).toHaveLength(3);
    const refusal = { code: "too_many_in_flight", limit: { name: "max_in_flight", value: 3, resets_at: null } };
    await expect(world.order(account)).rejects.toMatchObject(refusal);
    const { claim, ref } = await world.start(await world.runner());
    await expect(world.order(account)).rejects.toMatchObject(refusal);
    await world.upload(claim);
    await completeAttempt(world.ports, ref, await completion());
    await world.order(account);
    await expect(world.order(account)).rejects.toMatchObject(refusal);
    await expectInvariants();
  });

  it("of 0 stops all orders", async () => {
    const world = new World();
    const account = await limited(world, 0);
    await expect(world.order(account)).rejects.toMatchObject({ code: "too_many_in_flight" });
    await expectInvariants();
  });

  it.each(["request", "answer"] as const)("counts each clip once when the %s of its end is lost", async (loss) => {
    const { db, lose } = flakyDatabase();
    const world = new World({ db });
    const account = await limited(world, 1);
    const { id } = await world.order(account);
    lose(loss);
    await expect(cancelClip(world.ports, account, id)).rejects.toThrow();
    await expectInvariants();
    await cancelClip(world.ports, account, id);
    await world.order(account);
    await expect(world.order(account)).rejects.toMatchObject({ code: "too_many_in_flight" });
    await expectInvariants();
  });
});
