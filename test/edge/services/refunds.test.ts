import { beforeEach, describe, expect, it } from "vitest";
import { cancelClip } from "../../../edge/services/clips/cancel.ts";
import { getBalance } from "../../../edge/services/money/balance.ts";
import { refundClip, type WantedRefund } from "../../../edge/services/money/refund.ts";
import type { ClipId } from "../../../shared/ids.ts";
import { micros } from "../../../shared/pricing.ts";
import { env } from "../support/env.ts";
import { flakyDatabase } from "../support/flaky.ts";
import { everything, expectInvariants } from "../support/invariants.ts";
import { CLIP_PRICE, freshDeployment, World } from "../support/world.ts";

beforeEach(freshDeployment);

function wanted(clipId: ClipId, amount: number | null = null, idempotencyKey = "r"): WantedRefund {
  return { clipId, amountMicros: amount === null ? null : micros(amount), reason: "blurred", idempotencyKey };
}

describe("a refund", () => {
  it("gives the whole charge back by rows that compensate, and the capture stays booked", async () => {
    const world = new World();
    const account = await world.account();
    const { clip_id } = await world.finished(account);
    const answer = JSON.parse(await refundClip(world.ports, wanted(clip_id)));
    expect(answer).toMatchObject({ account_id: account, clip_id, amount_micros: CLIP_PRICE });
    expect(await getBalance(world.ports, account)).toMatchObject({ posted_micros: 1_000_000, pending_micros: 0 });
    const { results } = await env.DB.prepare(
      "select kind, book, amount_micros, key_id from ledger_entries where clip_id = ? order by rowid",
    )
      .bind(clip_id)
      .all();
    const key_id = world.caller(account).keyId;
    expect(results.slice(2)).toEqual([
      { kind: "capture", book: "held", amount_micros: -CLIP_PRICE, key_id },
      { kind: "capture", book: "revenue", amount_micros: CLIP_PRICE, key_id },
      { kind: "refund", book: "revenue", amount_micros: -CLIP_PRICE, key_id },
      { kind: "refund", book: "available", amount_micros: CLIP_PRICE, key_id },
    ]);
    await expectInvariants();
  });

  it("with the same key is made once and answered with the same bytes, 10 times at once or later", async () => {
    const world = new World();
    const account = await world.account();
    const { clip_id } = await world.finished(account);
    const answers = await Promise.all(Array.from({ length: 10 }, () => refundClip(world.ports, wanted(clip_id))));
    expect(new Set(answers).size).toBe(1);
    world.advance(23 * 3_600_000);
    expect(await refundClip(world.ports, wanted(clip_id))).toBe(answers[0]);
    expect((await getBalance(world.ports, account)).posted_micros).toBe(1_000_000);
    await expectInvariants();
  });

  it("with a used key and another amount or clip is refused", async () => {
    const world = new World();
    const account = await world.account();
    const [one, two] = [await world.finished(account), await world.finished(account)];
    await refundClip(world.ports, wanted(one.clip_id, 100));
    const refusal = { code: "idempotency_mismatch" };
    await expect(refundClip(world.ports, wanted(one.clip_id, 101))).rejects.toMatchObject(refusal);
    await expect(refundClip(world.ports, wanted(two.clip_id, 100))).rejects.toMatchObject(refusal);
    await expectInvariants();
  });

  it("in parts never exceeds the charge, however many come at once", async () => {
    const world = new World();
    const account = await world.account();
    const { clip_id } = await world.finished(account);
    const parts = Array.from({ length: 8 }, (_, i) => refundClip(world.ports, wanted(clip_id, 100, `part ${i}`)));
    const settled = await Promise.allSettled(parts);
    expect(settled.filter(({ status }) => status === "fulfilled")).toHaveLength(4);
    const refusals = settled.flatMap((part) => (part.status === "rejected" ? [part.reason.code] : []));
    expect(new Set(refusals)).toEqual(new Set(["not_refundable"]));
    const rest = JSON.parse(await refundClip(world.ports, wanted(clip_id, null, "rest")));
    expect(rest.amount_micros).toBe(CLIP_PRICE - 400);
    const before = await everything();
    await expect(refundClip(world.ports, wanted(clip_id, null, "more"))).rejects.toMatchObject({
      code: "not_refundable",
      message: "Of the 408 micro-dollars charged, 408 are refunded; 408 more would be too much.",
    });
    await expect(refundClip(world.ports, wanted(clip_id, 1, "one more"))).rejects.toMatchObject({
      code: "not_refundable",
    });
    expect(await everything()).toEqual(before);
    await expectInvariants();
  });

  it("of a clip that was not charged, or of none, is refused", async () => {
    const world = new World();
    const account = await world.account();
    const { id } = await world.order(account);
    await expect(refundClip(world.ports, wanted(id))).rejects.toMatchObject({ code: "not_refundable" });
    await cancelClip(world.ports, account, id);
    await expect(refundClip(world.ports, wanted(id))).rejects.toMatchObject({
      code: "not_refundable",
      message: "The clip is cancelled; only a clip that succeeded is charged.",
    });
    const absent = "clip_01j9z3k4m5n6p7q8r9s0t1v2w3" as ClipId;
    await expect(refundClip(world.ports, wanted(absent))).rejects.toMatchObject({ code: "not_found" });
    await expectInvariants();
  });

  it.each(["request", "answer"] as const)("is made once when its %s is lost and it is sent again", async (loss) => {
    const { db, lose } = flakyDatabase();
    const world = new World({ db });
    const account = await world.account();
    const { clip_id } = await world.finished(account);
    lose(loss);
    await expect(refundClip(world.ports, wanted(clip_id))).rejects.toThrow();
    await refundClip(world.ports, wanted(clip_id));
    expect((await getBalance(world.ports, account)).posted_micros).toBe(1_000_000);
    await expectInvariants();
  });
});
