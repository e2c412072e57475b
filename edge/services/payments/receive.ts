// What Stripe tells, once per event and in any order. An event only says what is so of a payment; the batch that writes
// that down also books the difference to what the ledger has of it. So it does not matter which comes first.
import { violatedConstraint } from "../../../db/database.ts";
import { keepCustomer, rearm, stopAfterLoss } from "../../../db/queries/payments/auto.ts";
import { bookPayment } from "../../../db/queries/payments/booking.ts";
import { closeTopUp, noteDispute, notePaid, noteRefunded, recordEvent } from "../../../db/queries/payments/facts.ts";
import { findTopUp } from "../../../db/queries/payments/top-ups.ts";
import type { Statement } from "../../../db/queries/transitions.ts";
import { findLanesOf } from "../../../db/queries/webhooks/deliveries.ts";
import type { EVENT_OUTCOMES } from "../../../shared/contract/payments.ts";
import { type AccountId, type EventId, idSchema, type TopUpId } from "../../../shared/ids.ts";
import { newIdAt } from "../identifiers.ts";
import type { PaymentEvent, PaymentNews, Ports } from "../ports.ts";
import { wakeLanes } from "../webhooks/wake.ts";
import { chargeLane, stopCharge } from "./charge.ts";

export type Outcome = (typeof EVENT_OUTCOMES)[number];
type Source = Pick<Ports, "db" | "clock" | "random" | "log" | "requestId" | "bell" | "outboxes">;
interface Meaning {
  readonly outcome: Outcome;
  readonly statements: readonly Statement[];
  /** A message that is written with it. */
  readonly tells?: EventId;
  /** Whose card may be due again. */
  readonly wakes?: AccountId;
}

const topUpIdSchema = idSchema("topUp");

/** "repeated" for an event that was written down before. Throws only what makes it worth sending again. */
export async function receiveEvent(ports: Source, event: PaymentEvent): Promise<Outcome | "repeated"> {
  const { outcome, statements, tells, wakes } = await meaningOf(ports, event);
  try {
    await ports.db.batch([record(ports, event, outcome), ...statements]);
  } catch (error) {
    const constraint = violatedConstraint(error);
    if (constraint === "stripe_events.id") return "repeated";
    if (constraint !== "stripe_payments.top_up_id") throw error;
    // The top-up was paid by another payment: for a person to look at, and to pay back.
    return await receiveSecondPayment(ports, event);
  }
  if (outcome === "mismatch") warn(ports, event);
  if (tells !== undefined) await wakeLanes(ports, await findLanesOf(ports.db, [tells]));
  if (wakes !== undefined) await wakeLanes(ports, [chargeLane(wakes)]);
  return outcome;
}

async function receiveSecondPayment(ports: Source, event: PaymentEvent): Promise<Outcome | "repeated"> {
  try {
    await ports.db.batch([record(ports, event, "mismatch")]);
  } catch (error) {
    if (violatedConstraint(error) !== "stripe_events.id") throw error;
    return "repeated";
  }
  warn(ports, event);
  return "mismatch";
}

function record(ports: Source, { id, type, objectId }: PaymentEvent, outcome: Outcome): Statement {
  return recordEvent(ports.db, { id, type, objectId, outcome, receivedAtMs: ports.clock.now() });
}

function warn(ports: Source, { id, type, objectId }: PaymentEvent): void {
  ports.log("error", "a payment is not what was asked for", { stripe_event: id, type, object: objectId });
}

async function meaningOf(ports: Source, event: PaymentEvent): Promise<Meaning> {
  const { news } = event;
  switch (news.kind) {
    case "checkout_paid":
      return await paid(ports, event, news);
    case "charge_paid":
    case "charge_failed":
      return await charged(ports, event, news);
    case "checkout_failed":
    case "checkout_expired": {
      const topUpId = topUpIdOf(news.topUpId);
      if (topUpId === null) return { outcome: "unknown", statements: [] };
      const state = news.kind === "checkout_failed" ? "failed" : "expired";
      return { outcome: "applied", statements: [closeTopUp(ports.db, topUpId, event.objectId, state)] };
    }
    case "refunded": {
      const { paymentIntent, amountMicros } = news;
      if (amountMicros === null) return { outcome: "unknown", statements: [] };
      return applied(ports, paymentIntent, event, [noteRefunded(ports.db, paymentIntent, amountMicros)]);
    }
    case "dispute": {
      const { paymentIntent, amountMicros, reinstated } = news;
      if (amountMicros === null || event.objectId === null) return { outcome: "unknown", statements: [] };
      const dispute = { id: event.objectId, paymentIntent, amountMicros, reinstated };
      return applied(ports, paymentIntent, event, [noteDispute(ports.db, dispute)]);
    }
    case "other":
      return { outcome: "ignored", statements: [] };
  }
}

/** What was paid must be what we asked for: metadata only names the top-up, our row says whose and how much. */
async function paid(
  ports: Source,
  event: PaymentEvent,
  { topUpId: named, paymentIntent, amountMicros, customerId }: Extract<PaymentNews, { kind: "checkout_paid" }>,
): Promise<Meaning> {
  const topUpId = topUpIdOf(named);
  const topUp = topUpId === null ? undefined : await findTopUp(ports.db, topUpId);
  if (topUp === undefined || event.objectId === null) return { outcome: "unknown", statements: [] };
  const another = topUp.sessionId !== null && topUp.sessionId !== event.objectId;
  if (another || amountMicros !== topUp.amountMicros) return { outcome: "mismatch", statements: [] };
  const facts = notePaid(ports.db, topUp.id, event.objectId, paymentIntent);
  const { accountId, saveCard } = topUp;
  if (!saveCard || customerId === null) return applied(ports, paymentIntent, event, facts);
  const kept = keepCustomer(ports.db, accountId, customerId);
  return { ...applied(ports, paymentIntent, event, [...facts, kept]), wakes: accountId };
}

/** How a charge of a kept card ended. Pages have payments, too; those are told of by their sessions. */
async function charged(
  ports: Source,
  event: PaymentEvent,
  news: Extract<PaymentNews, { kind: "charge_paid" | "charge_failed" }>,
): Promise<Meaning> {
  const topUpId = topUpIdOf(news.topUpId);
  const topUp = topUpId === null ? undefined : await findTopUp(ports.db, topUpId);
  if (topUp === undefined) return { outcome: "unknown", statements: [] };
  if (!topUp.auto) return { outcome: "ignored", statements: [] };
  if (news.kind === "charge_failed") {
    const { event: tells, statements } = stopCharge(ports, topUp, { reason: news.reason, as: "failed" });
    return { outcome: "applied", statements, tells };
  }
  if (news.amountMicros !== topUp.amountMicros) return { outcome: "mismatch", statements: [] };
  const { outcome, statements } = applied(
    ports,
    news.paymentIntent,
    event,
    notePaid(ports.db, topUp.id, null, news.paymentIntent),
  );
  return { outcome, statements: [...statements, rearm(ports.db, topUp.id)], wakes: topUp.accountId };
}

function applied(ports: Source, paymentIntent: string, event: PaymentEvent, facts: readonly Statement[]): Meaning {
  const atMs = ports.clock.now();
  const id = () => newIdAt(ports, "transaction", atMs);
  const ids = { paid: id(), refunded: id(), disputed: id() };
  const act = { id: newIdAt(ports, "audit", atMs), requestId: ports.requestId, stripeEvent: event.id };
  // Money that is taken back must not have the card charged anew: whoever wants that says so again.
  const stopped = stopAfterLoss(ports.db, [ids.refunded, ids.disputed], "payment_reversed");
  const booked = bookPayment(ports.db, paymentIntent, ids, act, atMs);
  return { outcome: "applied", statements: [...facts, ...booked, ...stopped] };
}

function topUpIdOf(text: string | null): TopUpId | null {
  const parsed = topUpIdSchema.safeParse(text);
  return parsed.success ? parsed.data : null;
}
