// Money in: whatever Stripe tells, in whatever order and however often, the ledger ends at what was paid less what was
// paid back. The world's clock is the real one here, as Stripe signs with the time.
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { completeAttempt } from "../../../edge/services/leases/complete.ts";
import { getBalance } from "../../../edge/services/money/balance.ts";
import { receiveEvent } from "../../../edge/services/payments/receive.ts";
import { createTopUp, getTopUp, listTopUps } from "../../../edge/services/payments/top-ups.ts";
import type { Payments } from "../../../edge/services/ports.ts";
import type { CreateTopUp, TopUp } from "../../../shared/contract/payments.ts";
import type { AccountId } from "../../../shared/ids.ts";
import type { Session, Signed, StripeDouble } from "../../support/stripe/double.ts";
import { env } from "../support/env.ts";
import { flakyDatabase } from "../support/flaky.ts";
import { everything, expectInvariants } from "../support/invariants.ts";
import { openStripe, paymentsBy } from "../support/stripe.ts";
import { CLIP_PRICE, completion, freshDeployment, World } from "../support/world.ts";

const AMOUNT = 20_000_000;
const CENTS = 2_000;
const REQUEST: CreateTopUp = {
  amount_micros: AMOUNT,
  success_url: "https://www.example.com/paid",
  cancel_url: "https://www.example.com/credit",
  save_card: false,
};
let stripe: StripeDouble;
let payments: Payments;
let world: World;
let account: AccountId;

beforeEach(async () => {
  await freshDeployment();
  stripe = openStripe();
  payments = paymentsBy(stripe);
  world = new World({ payments });
  world.nowMs = Date.now();
  account = await world.account(0);
});

afterEach(async () => {
  vi.unstubAllGlobals();
  await expectInvariants();
});

async function open(key: string | null = null, request = REQUEST): Promise<{ topUp: TopUp; session: Session }> {
  const topUp = await createTopUp(world.ports, world.caller(account), request, key);
  const session = stripe.sessions.at(-1);
  if (session === undefined) throw new Error("no session was made");
  return { topUp, session };
}

async function receive({ body, signature }: Signed): Promise<string> {
  return await receiveEvent(world.ports, await payments.readEvent(body, signature, Date.now()));
}

async function available(): Promise<number> {
  return (await getBalance(world.ports, account)).available_micros;
}

/** Amounts of the account's own book in order of size, by kind. */
async function booked(): Promise<string[]> {
  const { results } = await env.DB.prepare(
    "select kind, amount_micros from ledger_entries where book = 'available' order by kind, amount_micros",
  ).all<{ kind: string; amount_micros: number }>();
  return results.map(({ kind, amount_micros }) => `${kind} ${amount_micros}`);
}

describe("a top-up", () => {
  it("is credited by Stripe's signed word and by nothing before it", async () => {
    const { topUp, session } = await open();
    expect(topUp).toMatchObject({ state: "open", url: `https://checkout.stripe.test/c/pay/${session.id}` });
    expect(session).toMatchObject({ cents: CENTS, currency: "usd", successUrl: REQUEST.success_url });
    expect(await available()).toBe(0);
    expect(await receive(await stripe.pay(session))).toBe("applied");
    expect(await available()).toBe(AMOUNT);
    const paid = { state: "paid", url: null, receipt_url: "https://pay.stripe.test/receipts/pi_1" };
    expect(await getTopUp(world.ports, account, topUp.id)).toMatchObject(paid);
    expect((await listTopUps(world.ports, account, { limit: 1 })).data).toMatchObject([paid]);
  });

  it("is credited once for an event that comes twice, and for two events of one payment", async () => {
    const { session } = await open();
    const completed = await stripe.pay(session);
    expect(await receive(completed)).toBe("applied");
    expect(await receive(completed)).toBe("repeated");
    await receive(await stripe.pay(session, {}, "checkout.session.async_payment_succeeded"));
    expect(await booked()).toEqual([`payment ${AMOUNT}`]);
  });

  it("is credited once by events that arrive at the same time", async () => {
    const { session } = await open();
    const one = await stripe.pay(session);
    const other = await stripe.pay(session, {}, "checkout.session.async_payment_succeeded");
    const outcomes = await Promise.all([one, other, one, other].map(receive));
    expect(outcomes.toSorted()).toEqual(["applied", "applied", "repeated", "repeated"]);
    expect(await booked()).toEqual([`payment ${AMOUNT}`]);
  });

  it("waits for a payment that takes days", async () => {
    const { session } = await open();
    expect(await receive(await stripe.pay(session, { payment_status: "unpaid" }))).toBe("ignored");
    expect(await available()).toBe(0);
    await receive(await stripe.pay(session, {}, "checkout.session.async_payment_succeeded"));
    expect(await available()).toBe(AMOUNT);
  });

  it.each([
    ["another amount", { amount_total: CENTS + 1 }, "mismatch"],
    ["another currency", { currency: "eur" }, "mismatch"],
    ["another session", { id: "cs_test_other" }, "mismatch"],
    ["no top-up of ours", { metadata: { top_up_id: "top_01j9z3k4m5n6p7q8r9s0t1v2w3" } }, "unknown"],
    ["no metadata", { metadata: null }, "unknown"],
    ["no payment", { payment_status: "no_payment_required", payment_intent: null }, "ignored"],
  ])("is not credited for %s", async (_, changes, outcome) => {
    const { session } = await open();
    expect(await receive(await stripe.pay(session, changes))).toBe(outcome);
    expect(await booked()).toEqual([]);
    const { results } = await env.DB.prepare("select outcome from stripe_events").all();
    expect(results).toEqual([{ outcome }]);
  });

  it("is not credited a second time for a second payment", async () => {
    const { session } = await open();
    await receive(await stripe.pay(session));
    expect(await receive(await stripe.pay(session, { payment_intent: "pi_second" }))).toBe("mismatch");
    expect(await booked()).toEqual([`payment ${AMOUNT}`]);
  });

  it("has one page for one Idempotency-Key, also when Stripe's answers are lost", async () => {
    stripe.strike("lost", "lost");
    const first = await open("k1");
    const second = await open("k1");
    expect(second.topUp).toEqual(first.topUp);
    expect(stripe.sessions).toHaveLength(1);
    await expect(open("k1", { ...REQUEST, amount_micros: 2 * AMOUNT })).rejects.toMatchObject({
      code: "idempotency_mismatch",
    });
  });

  it("gets its page by the same request again after Stripe refused or we died in between", async () => {
    stripe.strike({ status: 400 });
    await expect(open("k1")).rejects.toMatchObject({ code: "payment_unavailable" });
    const { topUp } = await open("k1");
    expect(topUp.url).not.toBeNull();
    expect((await listTopUps(world.ports, account, { limit: 10 })).data).toHaveLength(1);
  });

  it("is credited although its page was never written down", async () => {
    const { session } = await open("k1");
    await env.DB.prepare("update top_ups set session_id = null, url = null").run();
    await receive(await stripe.pay(session));
    expect(await available()).toBe(AMOUNT);
  });

  it("shows its end where the page expired or the payment failed, and stays paid where it was", async () => {
    const { topUp, session } = await open();
    await receive(await stripe.tell("checkout.session.expired", { id: session.id, metadata: session.metadata }));
    expect(await getTopUp(world.ports, account, topUp.id)).toMatchObject({ state: "expired", url: null });
    const paid = await open();
    await receive(await stripe.pay(paid.session));
    const { id, metadata } = paid.session;
    await receive(await stripe.tell("checkout.session.async_payment_failed", { id, metadata }));
    expect(await getTopUp(world.ports, account, paid.topUp.id)).toMatchObject({ state: "paid" });
  });

  it("is booked wholly or not at all when the database loses a request or an answer", async () => {
    const { session } = await open();
    const completed = await stripe.pay(session);
    const { db, lose } = flakyDatabase();
    const event = await payments.readEvent(completed.body, completed.signature, Date.now());
    lose("request");
    await expect(receiveEvent({ ...world.ports, db }, event)).rejects.toThrow();
    expect(await booked()).toEqual([]);
    lose("answer");
    await expect(receiveEvent({ ...world.ports, db }, event)).rejects.toThrow();
    expect(await receiveEvent({ ...world.ports, db }, event)).toBe("repeated");
    expect(await booked()).toEqual([`payment ${AMOUNT}`]);
  });
});

describe("what is paid back", () => {
  it("is taken off by the difference to what was taken off before", async () => {
    const { topUp, session } = await open();
    await receive(await stripe.pay(session));
    await receive(await stripe.refund(session, 500));
    await receive(await stripe.refund(session, 2_000));
    await receive(await stripe.refund(session, 500));
    expect(await booked()).toEqual([`payment ${AMOUNT}`, "payment_refund -15000000", "payment_refund -5000000"]);
    expect(await available()).toBe(0);
    expect(await getTopUp(world.ports, account, topUp.id)).toMatchObject({ refunded_micros: AMOUNT });
  });

  it("waits where it is told before the payment", async () => {
    const { session } = await open();
    await receive(await stripe.refund(session, 500));
    await receive(await stripe.dispute(session, 1_000, "funds_withdrawn"));
    expect(await booked()).toEqual([]);
    await receive(await stripe.pay(session));
    expect(await booked()).toEqual(["dispute -10000000", `payment ${AMOUNT}`, "payment_refund -5000000"]);
    expect(await available()).toBe(5_000_000);
  });

  it("comes back when a dispute is won, in either order of the two events", async () => {
    const won = await open();
    await receive(await stripe.pay(won.session));
    await receive(await stripe.dispute(won.session, CENTS, "funds_withdrawn"));
    expect(await available()).toBe(0);
    await receive(await stripe.dispute(won.session, CENTS, "funds_reinstated"));
    expect(await available()).toBe(AMOUNT);
    const reordered = await open();
    await receive(await stripe.pay(reordered.session));
    await receive(await stripe.dispute(reordered.session, CENTS, "funds_reinstated"));
    await receive(await stripe.dispute(reordered.session, CENTS, "funds_withdrawn"));
    expect(await available()).toBe(2 * AMOUNT);
  });

  it("leaves a debt where it was spent, in which nothing can be ordered and clips still end", async () => {
    const { session } = await open();
    await receive(await stripe.pay(session));
    await world.order(account);
    const { claim, ref } = await world.start(await world.runner());
    await world.upload(claim);
    await receive(await stripe.refund(session, CENTS));
    expect(await available()).toBe(-CLIP_PRICE);
    const before = await everything();
    await expect(world.order(account)).rejects.toMatchObject({ code: "insufficient_balance" });
    expect(await everything()).toEqual(before);
    await completeAttempt(world.ports, ref, await completion());
    const again = await open();
    await receive(await stripe.pay(again.session));
    expect(await available()).toBe(AMOUNT - CLIP_PRICE);
    await world.order(account);
    expect(await available()).toBe(AMOUNT - 2 * CLIP_PRICE);
  });

  it("lets no order out of a debt that a payment has only half covered", async () => {
    const { session } = await open();
    await receive(await stripe.pay(session));
    await receive(await stripe.dispute(session, 2 * CENTS, "funds_withdrawn"));
    expect(await available()).toBe(-AMOUNT);
    const half = await open(null, { ...REQUEST, amount_micros: AMOUNT / 2 });
    await receive(await stripe.pay(half.session));
    await expect(world.order(account)).rejects.toMatchObject({ code: "insufficient_balance" });
  });

  it("moves nothing of a payment that is not a top-up", async () => {
    const foreign = { paymentIntent: "pi_foreign", cents: 1, currency: "usd", metadata: {} };
    await receive(await stripe.refund(foreign, 1));
    await receive(await stripe.refund(foreign, 1, "eur"));
    await receive(await stripe.dispute(foreign, 1, "funds_withdrawn"));
    expect(await booked()).toEqual([]);
  });
});

it("ends at the same balance in every order of the events of one payment", async () => {
  const orders = permutations([0, 1, 2, 3]);
  for (const order of orders) {
    const { session } = await open();
    const before = await available();
    const events = [
      await stripe.pay(session),
      await stripe.refund(session, 300),
      await stripe.refund(session, 700),
      await stripe.dispute(session, 400, "funds_withdrawn"),
    ];
    for (const index of order) await receive(events[index] as Signed);
    expect((await available()) - before, order.join()).toBe((CENTS - 700 - 400) * 10_000);
  }
});

function permutations(items: readonly number[]): number[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((item) => permutations(items.filter((other) => other !== item)).map((rest) => [item, ...rest]));
}
