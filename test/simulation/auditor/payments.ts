// M7: what the ledger has of payments is what Stripe's events say of them, each event once and in whatever order; and a card
// is charged only for a top-up that was written first, one at a time, when the balance was low, within the month's cap.
import type { CardOrder } from "../../../edge/services/ports.ts";
import type { Counters } from "../counters.ts";
import type { Operation, Requests } from "../world/operation.ts";
import { booking } from "./booking.ts";
import type { Commit, History } from "./history.ts";
import type { AutoTopUpRow, TopUpRow } from "./rows.ts";
import { must } from "./violation.ts";

/** An event as Stripe's double writes it. */
interface Told {
  readonly id: string;
  readonly objectId: string;
  readonly news: {
    readonly kind: string;
    readonly topUpId?: string;
    readonly paymentIntent?: string;
    readonly amountMicros?: number;
    readonly reinstated?: boolean;
  };
}

/** What the events so far come to, and what of it is booked. */
interface Payment {
  topUpId: string | null;
  refunded: number;
  readonly disputes: Map<string, { readonly amount: number; reinstated: boolean }>;
  readonly booked: { paid: number; refunded: number; disputed: number };
}

export class PaymentBooks {
  readonly #events = new Set<string>();
  readonly #payments = new Map<string, Payment>();

  /** What the commit must book of payments, in order. */
  expected(operation: Operation, commit: Commit, history: History): string[] {
    const events = commit.stripe_events;
    const what = () => `${operation.kind} wrote Stripe's events ${JSON.stringify(events)}`;
    must(events.length === 0 || operation.kind === "stripe_event", "M7", what);
    if (operation.kind !== "stripe_event") return [];
    const told = JSON.parse((operation.request as Requests["stripe_event"]).body) as Told;
    const [change] = events;
    if (change === undefined) return [];
    must(events.length === 1 && change.before === null && change.after?.id === told.id, "M7", what);
    must(!this.#events.has(told.id), "M7", () => `event ${told.id} was taken in twice`);
    this.#events.add(told.id);
    return this.#book(told, history);
  }

  #book({ objectId, news }: Told, history: History): string[] {
    const topUp = history.now("top_ups", news.topUpId ?? "");
    const counts = news.kind === "checkout_paid" || (news.kind === "charge_paid" && topUp?.auto === 1);
    const payment = this.#payment(news.paymentIntent ?? "");
    if (counts && topUp !== null && news.amountMicros === topUp.amount_micros) payment.topUpId ??= topUp.id;
    if (news.kind === "refunded") payment.refunded = Math.max(payment.refunded, news.amountMicros ?? 0);
    if (news.kind === "dispute") {
      const dispute = payment.disputes.get(objectId) ?? { amount: news.amountMicros ?? 0, reinstated: false };
      dispute.reinstated ||= news.reinstated === true;
      payment.disputes.set(objectId, dispute);
    }
    const owner = history.now("top_ups", payment.topUpId ?? "");
    return owner === null ? [] : this.#differences(payment, owner);
  }

  #differences({ refunded, disputes, booked }: Payment, { account_id, amount_micros }: TopUpRow): string[] {
    const disputed = [...disputes.values()].reduce((sum, { amount, reinstated }) => sum + (reinstated ? 0 : amount), 0);
    const moves: string[] = [];
    if (booked.paid === 0) moves.push(booking("payment", account_id, null, amount_micros));
    if (refunded > booked.refunded) {
      moves.push(booking("payment_refund", account_id, null, refunded - booked.refunded));
    }
    if (disputed > booked.disputed) moves.push(booking("dispute", account_id, null, disputed - booked.disputed));
    if (disputed < booked.disputed) moves.push(booking("dispute won", account_id, null, booked.disputed - disputed));
    Object.assign(booked, { paid: amount_micros, refunded, disputed });
    return moves;
  }

  #payment(paymentIntent: string): Payment {
    let payment = this.#payments.get(paymentIntent);
    if (payment === undefined) {
      const booked = { paid: 0, refunded: 0, disputed: 0 };
      payment = { topUpId: null, refunded: 0, disputes: new Map(), booked };
      this.#payments.set(paymentIntent, payment);
    }
    return payment;
  }
}

interface Context {
  readonly history: History;
  readonly nowMs: number;
  readonly counters: Counters;
}

/** What a commit does to top-ups, and to what is charged by itself. */
export function judgeTopUps(operation: Operation, commit: Commit, context: Context): void {
  for (const { before, after } of commit.top_ups) {
    const what = () => `${operation.kind} made of top-up ${JSON.stringify(before)}: ${JSON.stringify(after)}`;
    must(after !== null && (before?.state !== "paid" || after.state === "paid"), "M7", what);
    if (before === null) {
      must(after.state === "open", "M7", what);
      if (after.auto === 1) judgeCharge(operation, after, context, what);
    } else if (after.state === "paid") {
      must(operation.kind === "stripe_event", "M7", what);
      if (before.state !== "paid") context.counters.add("payment_booked");
    } else {
      must(before.auto === after.auto && before.amount_micros === after.amount_micros, "M7", what);
    }
  }
  if (operation.kind === "stripe_event") countEvent(operation as Operation<"stripe_event">, commit, context);
  for (const { before, after } of commit.auto_top_ups) {
    if (after === null || before === null) continue;
    const stopped = before.state !== "stopped" && after.state === "stopped";
    if (stopped) judgeStopped(operation, after, commit, context);
    if (after.last_error === "monthly_cap" && before.last_error !== "monthly_cap")
      context.counters.add("month_was_full");
  }
}

function countEvent({ request }: Operation<"stripe_event">, commit: Commit, { history, counters }: Context): void {
  const { news } = JSON.parse(request.body) as Told;
  const takesBack = news.kind === "refunded" || news.kind === "dispute";
  const topUp = history.now("top_ups", (news.paymentIntent ?? "").slice("pi_".length));
  if (takesBack && commit.stripe_events.length > 0 && topUp?.state !== "paid")
    counters.add("payment_told_out_of_order");
  const leaves = commit.balances.some(({ after }) => after !== null && after.posted_micros < after.pending_micros);
  if (leaves) counters.add("payment_left_debt");
}

function judgeCharge(
  operation: Operation,
  topUp: TopUpRow,
  { history, nowMs, counters }: Context,
  what: () => string,
): void {
  const { account_id: accountId, amount_micros: amount } = topUp;
  const settings = history.now("auto_top_ups", accountId);
  const balance = history.now("balances", accountId);
  must(
    operation.kind === "outbox" && settings?.top_up_id === topUp.id && settings.amount_micros === amount,
    "M7",
    what,
  );
  must(balance !== null && balance.posted_micros - balance.pending_micros < settings.threshold_micros, "M7", () => {
    return `${what()}, though the balance was not low: ${JSON.stringify(balance)}`;
  });
  const own = [...history.all("top_ups")].filter((row) => row.account_id === accountId && row.auto === 1);
  must(own.filter(({ state }) => state === "open").length === 1, "M7", () => `${what()} beside another charge`);
  // Isolates' clocks are apart, so the turn of a month may be either's.
  const month = new Date(nowMs + operation.skewMs).toISOString().slice(0, 7);
  const ofMonth = own.filter(
    (row) => row.state !== "failed" && new Date(row.created_at_ms).toISOString().startsWith(month),
  );
  const sum = ofMonth.reduce((total, row) => total + row.amount_micros, 0);
  must(sum <= settings.monthly_cap_micros, "M7", () => `${what()}, which makes ${sum} in the month`);
  counters.add("card_charged");
}

/** Whoever set it up is told why nothing is charged, in the commit that stops it. */
function judgeStopped(operation: Operation, row: AutoTopUpRow, commit: Commit, { counters }: Context): void {
  if (row.last_error === "payment_reversed") {
    must(operation.kind === "stripe_event", "M7", () => `${operation.kind} stopped ${JSON.stringify(row)}`);
    counters.add("charging_stopped_by_loss");
    return;
  }
  const told = commit.webhook_messages.some(({ after }) => {
    return after?.type === "auto_top_up.failed" && after.payload.includes(`"reason":"${row.last_error}"`);
  });
  must(told, "W1", () => `${operation.kind} stopped ${JSON.stringify(row)} and told nobody`);
  counters.add(row.last_error === "no_answer" ? "charge_unanswered" : "card_declined");
}

/** Stripe is about to charge a card. */
export function judgeCardOrder({ topUpId, accountId, amountMicros, customerId }: CardOrder, history: History): void {
  const row = history.now("top_ups", topUpId);
  const right = row?.auto === 1 && row.account_id === accountId && row.amount_micros === amountMicros;
  must(right && row.state !== "failed", "M7", () => `${customerId} is charged for ${JSON.stringify(row)}`);
}
