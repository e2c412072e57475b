// Automatic top-ups: the kept card is charged once each time that the balance falls below the threshold, whatever is lost on
// the way, and never beyond the month's cap. The world's clock is the real one, as Stripe signs with the time.
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { getBalance } from "../../../edge/services/money/balance.ts";
import { endAutoTopUp, getAutoTopUp, setAutoTopUp } from "../../../edge/services/payments/auto-top-up.ts";
import { chargeDue, chargeLane } from "../../../edge/services/payments/charge.ts";
import { receiveEvent } from "../../../edge/services/payments/receive.ts";
import { createTopUp, listTopUps } from "../../../edge/services/payments/top-ups.ts";
import type { Payments } from "../../../edge/services/ports.ts";
import { sweep } from "../../../edge/services/sweep.ts";
import { createEndpoint } from "../../../edge/services/webhooks/endpoints.ts";
import { nextMonthStartMs } from "../../../shared/days.ts";
import type { AccountId } from "../../../shared/ids.ts";
import type { Card, Charge, Signed, StripeDouble } from "../../support/stripe/double.ts";
import { env } from "../support/env.ts";
import { flakyDatabase } from "../support/flaky.ts";
import { expectInvariants } from "../support/invariants.ts";
import { Receivers, RecordingOutboxes } from "../support/receivers.ts";
import { openStripe, paymentsBy } from "../support/stripe.ts";
import { CLIP_PRICE, freshDeployment, World } from "../support/world.ts";

const HOUR = 3_600_000;
const FIRST = 5_000_000;
const AMOUNT = 20_000_000;
/** Crossed by one order after the first top-up. */
const SETTINGS = { threshold_micros: FIRST, amount_micros: AMOUNT, monthly_cap_micros: 2 * AMOUNT };
const CUSTOMER = "cus_1";

let stripe: StripeDouble;
let payments: Payments;
let outboxes: RecordingOutboxes;
let world: World;
let account: AccountId;
const flaky = flakyDatabase();

/** An account that has paid a first top-up and kept its card. */
beforeEach(async () => {
  await freshDeployment();
  stripe = openStripe();
  payments = paymentsBy(stripe);
  outboxes = new RecordingOutboxes();
  const receivers = new Receivers();
  receivers.host("hooks.example.com");
  world = new World({ db: flaky.db, payments, outboxes, resolver: receivers, outbound: receivers });
  world.nowMs = Date.now();
  account = await world.account(0);
  const request = { amount_micros: FIRST, success_url: "https://a.example/", cancel_url: "https://a.example/" };
  await createTopUp(world.ports, world.caller(account), { ...request, save_card: true }, null);
  await receive(await stripe.pay(only(stripe.sessions)));
  const wanted = { url: "https://hooks.example.com/", events: ["auto_top_up.failed" as const] };
  await createEndpoint(world.ports, account, wanted);
});

afterEach(async () => {
  vi.unstubAllGlobals();
  await expectInvariants();
});

function only<T>(items: readonly T[]): T {
  const [item, ...rest] = items;
  if (item === undefined || rest.length > 0) throw new Error(`one was expected, not ${items.length}`);
  return item;
}

async function receive({ body, signature }: Signed): Promise<string> {
  return await receiveEvent(world.ports, await payments.readEvent(body, signature, Date.now()));
}

const available = async () => (await getBalance(world.ports, account)).available_micros;
const standing = async () => await getAutoTopUp(world.ports, account);
const alarm = async () => await chargeDue(world.ports, account);
const tell = async (charge: Charge, status?: Charge["status"]) =>
  await receive(await stripe.tellCharge(charge, status));

/** What the account's endpoint is told. */
async function told(): Promise<string[]> {
  const { results } = await env.DB.prepare(
    "select m.payload from webhook_messages m join webhook_deliveries d on d.message_id = m.id order by m.id",
  ).all<{ payload: string }>();
  return results.map(({ payload }) => (JSON.parse(payload) as { data: { reason: string } }).data.reason);
}

/** Set up, and then below the threshold; later than the first top-up, as lists go by the time. */
async function fall(card: Card = "good"): Promise<void> {
  world.advance(1_000);
  await setAutoTopUp(world.ports, world.caller(account), SETTINGS);
  stripe.cards.set(CUSTOMER, card);
  await world.order(account);
}

it("charges the kept card once when an order takes the balance below the threshold, and is credited by Stripe's word", async () => {
  world.advance(1_000);
  await setAutoTopUp(world.ports, world.caller(account), SETTINGS);
  expect(await standing()).toMatchObject({ state: "armed", charged_this_month_micros: 0 });
  expect(await alarm()).toBeNull();
  await world.order(account);
  expect(await standing()).toMatchObject({ state: "due" });
  outboxes.woken.length = 0;
  await sweep(world.ports);
  expect(outboxes.woken).toContain(chargeLane(account));
  await alarm();
  await alarm();
  expect(only(stripe.charges)).toMatchObject({ cents: AMOUNT / 10_000, currency: "usd", status: "succeeded" });
  expect(await standing()).toMatchObject({ state: "charging", charged_this_month_micros: AMOUNT });
  expect(await available()).toBe(FIRST - CLIP_PRICE);
  expect(await tell(only(stripe.charges))).toBe("applied");
  expect(await available()).toBe(FIRST - CLIP_PRICE + AMOUNT);
  expect(await standing()).toMatchObject({ state: "armed", last_error: null });
  const { data } = await listTopUps(world.ports, account, { limit: 1 });
  expect(data).toMatchObject([{ auto: true, state: "paid", url: null, amount_micros: AMOUNT }]);
  expect(await told()).toEqual([]);
});

it("charges again at once where one top-up does not reach the threshold, within the month's cap, and goes on next month", async () => {
  const settings = { threshold_micros: 10 * AMOUNT, amount_micros: AMOUNT, monthly_cap_micros: 2 * AMOUNT };
  await setAutoTopUp(world.ports, world.caller(account), settings);
  for (let i = 0; i < 3; i++) {
    await alarm();
    const charge = stripe.charges[i];
    if (charge !== undefined) await tell(charge);
  }
  expect(stripe.charges).toHaveLength(2);
  expect(await available()).toBe(FIRST + 2 * AMOUNT);
  expect(await standing()).toMatchObject({
    state: "due",
    last_error: "monthly_cap",
    charged_this_month_micros: 2 * AMOUNT,
  });
  expect(await alarm()).toBe(nextMonthStartMs(world.nowMs));
  expect(await told()).toEqual(["monthly_cap"]);
  world.nowMs = nextMonthStartMs(world.nowMs);
  await alarm();
  expect(stripe.charges).toHaveLength(3);
});

it("charges nothing beyond the month's cap when another step has charged since this one looked", async () => {
  const settings = { threshold_micros: 10 * AMOUNT, amount_micros: AMOUNT, monthly_cap_micros: AMOUNT };
  await setAutoTopUp(world.ports, world.caller(account), settings);
  flaky.overtake(async () => {
    await alarm();
    await tell(only(stripe.charges));
  });
  await alarm();
  await alarm();
  expect(stripe.charges).toHaveLength(1);
  expect(await standing()).toMatchObject({
    state: "due",
    last_error: "monthly_cap",
    charged_this_month_micros: AMOUNT,
  });
});

it("waits for a card, and charges it as soon as there is one", async () => {
  const other = await world.account(0);
  const caller = world.caller(other);
  expect(await setAutoTopUp(world.ports, caller, SETTINGS)).toMatchObject({ state: "needs_card" });
  expect(await chargeDue(world.ports, other)).toBeNull();
  await sweep(world.ports);
  const request = { amount_micros: FIRST, success_url: "https://a.example/", cancel_url: "https://a.example/" };
  await createTopUp(world.ports, caller, { ...request, save_card: true }, null);
  const session = stripe.sessions.at(-1);
  if (session === undefined) throw new Error("no session was made");
  await receive(await stripe.pay(session));
  expect(await getAutoTopUp(world.ports, other)).toMatchObject({ state: "armed" });
  await world.order(other);
  await chargeDue(world.ports, other);
  expect(only(stripe.charges).cents).toBe(AMOUNT / 10_000);
});

it.each<Card>(["insufficient_funds", "authentication_required"])(
  "stops when the card is refused (%s), tells the account once, and goes on when it is set again",
  async (card) => {
    await fall(card);
    await alarm();
    expect(await standing()).toMatchObject({ state: "stopped", last_error: card, charged_this_month_micros: 0 });
    await tell(only(stripe.charges));
    await alarm();
    await sweep(world.ports);
    expect(stripe.charges).toHaveLength(1);
    expect(await told()).toEqual([card]);
    expect((await listTopUps(world.ports, account, { limit: 1 })).data).toMatchObject([{ state: "failed" }]);
    stripe.cards.set(CUSTOMER, "good");
    await setAutoTopUp(world.ports, world.caller(account), SETTINGS);
    await alarm();
    await tell(stripe.charges[1] as Charge);
    expect(await available()).toBe(FIRST - CLIP_PRICE + AMOUNT);
  },
);

it("stops where the card or its customer is gone from Stripe", async () => {
  await fall();
  stripe.cards.delete(CUSTOMER);
  await alarm();
  expect(await standing()).toMatchObject({ state: "stopped", last_error: "no_card" });
  world.advance(1_000);
  await setAutoTopUp(world.ports, world.caller(account), SETTINGS);
  await env.DB.prepare("update stripe_customers set customer_id = 'cus_gone'").run();
  await alarm();
  expect(await standing()).toMatchObject({ state: "stopped", last_error: "resource_missing" });
  expect(await told()).toEqual(["no_card", "resource_missing"]);
});

it("waits for a payment that takes its time, and stops when it fails after all", async () => {
  await fall("slow");
  await alarm();
  expect(await standing()).toMatchObject({ state: "charging" });
  await tell(only(stripe.charges), "requires_payment_method");
  expect(await standing()).toMatchObject({ state: "stopped", last_error: "do_not_honor" });
  expect(await told()).toEqual(["do_not_honor"]);
});

it("charges once when Stripe's answers are lost, and when it is told twice or before it has answered", async () => {
  await fall();
  stripe.strike("passes", "lost", "lost", "lost", "passes", "lost");
  for (let i = 0; i < 3; i++) world.nowMs = Math.max(world.nowMs, (await alarm()) ?? 0);
  const charge = only(stripe.charges);
  const event = await stripe.tellCharge(charge);
  expect(await Promise.all([receive(event), receive(event)])).toEqual(expect.arrayContaining(["applied", "repeated"]));
  expect(await available()).toBe(FIRST - CLIP_PRICE + AMOUNT);
  await alarm();
  expect(stripe.charges).toHaveLength(1);
});

it.each(["request", "answer"] as const)(
  "charges once when two Outboxes run at once and the database loses a %s",
  async (loss) => {
    await fall();
    flaky.lose(loss);
    await Promise.allSettled([alarm(), alarm()]);
    world.advance(HOUR);
    await Promise.all([alarm(), alarm()]);
    await tell(only(stripe.charges));
    expect(await available()).toBe(FIRST - CLIP_PRICE + AMOUNT);
  },
);

it("does not ask again once Stripe has forgotten the key of the charge, and credits it if it is paid all the same", async () => {
  await fall();
  stripe.strike({ status: 500 }, { status: 500 }, { status: 500 });
  await alarm();
  world.advance(world.ports.times.idempotencyMs);
  await alarm();
  expect(stripe.charges).toEqual([]);
  expect(await standing()).toMatchObject({ state: "stopped", last_error: "no_answer" });
  expect(await told()).toEqual(["no_answer"]);
  const id = (await listTopUps(world.ports, account, { limit: 1 })).data[0]?.id ?? "";
  const metadata = { top_up_id: id, account_id: account };
  const late = {
    paymentIntent: "pi_late",
    cents: AMOUNT / 10_000,
    currency: "usd",
    metadata,
    status: "succeeded",
  } as const;
  expect(await tell(late)).toBe("applied");
  expect(await available()).toBe(FIRST - CLIP_PRICE + AMOUNT);
});

it("charges nothing anew when a payment is refunded or disputed", async () => {
  await fall();
  await alarm();
  const charge = only(stripe.charges);
  await tell(charge);
  await receive(await stripe.dispute(charge, charge.cents, "funds_withdrawn"));
  expect(await standing()).toMatchObject({ state: "stopped", last_error: "payment_reversed" });
  expect(await alarm()).toBeNull();
  expect(stripe.charges).toHaveLength(1);
});

it("charges nothing once it is ended, and credits what Stripe was asked for before", async () => {
  await fall("slow");
  await alarm();
  expect(await endAutoTopUp(world.ports, world.caller(account))).toMatchObject({
    state: "off",
    threshold_micros: null,
  });
  expect(await alarm()).toBeNull();
  await tell(only(stripe.charges), "succeeded");
  expect(await available()).toBe(FIRST - CLIP_PRICE + AMOUNT);
  expect((await listTopUps(world.ports, account, { limit: 1 })).data).toMatchObject([{ state: "paid", auto: true }]);
});

it.each<[string, Partial<Charge>, string]>([
  ["another amount", { cents: 1 }, "mismatch"],
  ["another currency", { currency: "eur" }, "mismatch"],
  ["no top-up of ours", { metadata: {} }, "unknown"],
])("is not credited for %s", async (_, changes, outcome) => {
  await fall();
  await alarm();
  const before = await available();
  expect(await tell({ ...only(stripe.charges), ...changes }, "succeeded")).toBe(outcome);
  expect(await available()).toBe(before);
});

it("leaves a page's payment to its session", async () => {
  const metadata = stripe.sessions[0]?.metadata ?? {};
  const charge = { paymentIntent: "pi_1", cents: 500, currency: "usd", metadata, status: "succeeded" } as const;
  expect(await tell(charge)).toBe("ignored");
  expect(await available()).toBe(FIRST);
});
