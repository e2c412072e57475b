// Brings the ledger to what Stripe has told of one payment: what was paid, less what was refunded, less what disputes
// hold. Each difference is one transaction between `funding` and `available`; where there is none, nothing is written.
import { and, eq, inArray, isNotNull, type SQL, sql } from "drizzle-orm";
import type { LEDGER_KINDS } from "../../../shared/contract/accounting.ts";
import type { AuditId, TransactionId } from "../../../shared/ids.ts";
import type { Database } from "../../database.ts";
import { auditLog, balances, ledgerEntries, stripeDisputes, stripePayments, topUps } from "../../schema.ts";
import type { Statement } from "../transitions.ts";

export interface PaymentTransactions {
  readonly paid: TransactionId;
  readonly refunded: TransactionId;
  readonly disputed: TransactionId;
}

export interface PaymentAct {
  readonly id: AuditId;
  readonly requestId: string | null;
  readonly stripeEvent: string;
}

const DISPUTED = sql`(select coalesce(sum(${stripeDisputes.amountMicros}), 0) from ${stripeDisputes}
  where ${stripeDisputes.paymentIntent} = ${stripePayments.paymentIntent} and not ${stripeDisputes.reinstated})`;

/** For the batch that has written the facts. A payment that is of no top-up, or not yet, moves nothing. */
export function bookPayment(
  db: Database,
  paymentIntent: string,
  ids: PaymentTransactions,
  act: PaymentAct,
  atMs: number,
): Statement[] {
  const move = (id: TransactionId, kind: (typeof LEDGER_KINDS)[number], delta: SQL): Statement => {
    const entry = (book: "available" | "funding", amount: SQL) => sql`
      select ${id}, ${book}, ${topUps.accountId}, null, null, ${kind}, ${amount}, ${topUps.id}, ${atMs}
      from ${stripePayments} join ${topUps} on ${topUps.id} = ${stripePayments.topUpId}
      where ${stripePayments.paymentIntent} = ${paymentIntent} and ${delta} <> 0`;
    const both = sql`${entry("funding", sql`-(${delta})`)} union all ${entry("available", delta)}`;
    return db.insert(ledgerEntries).select(both);
  };
  const written = and(
    inArray(ledgerEntries.transactionId, [ids.paid, ids.refunded, ids.disputed]),
    eq(ledgerEntries.book, "available"),
  );
  const moved = sql`(select coalesce(sum(${ledgerEntries.amountMicros}), 0) from ${ledgerEntries} where ${written})`;
  const owner = sql`(select ${ledgerEntries.accountId} from ${ledgerEntries} where ${written} limit 1)`;
  return [
    move(ids.paid, "payment", sql`(${topUps.amountMicros} - ${stripePayments.bookedPaidMicros})`),
    move(
      ids.refunded,
      "payment_refund",
      sql`(${stripePayments.bookedRefundedMicros} - ${stripePayments.refundedMicros})`,
    ),
    move(ids.disputed, "dispute", sql`(${stripePayments.bookedDisputedMicros} - ${DISPUTED})`),
    // What was spent already cannot be kept from being paid back: the floor follows the balance down, as a debt.
    db
      .update(balances)
      .set({
        postedMicros: sql`${balances.postedMicros} + ${moved}`,
        floorMicros: sql`min(${balances.floorMicros}, ${balances.postedMicros} + ${moved} - ${balances.pendingMicros})`,
      })
      .where(sql`${balances.accountId} = ${owner}`),
    db.insert(auditLog).select(sql`
      select ${act.id}, ${topUps.accountId}, 'stripe', 'payment.booked', ${topUps.id},
        json_object('amount_micros', ${moved}, 'stripe_event', ${act.stripeEvent}), ${act.requestId}, ${atMs}
      from ${stripePayments} join ${topUps} on ${topUps.id} = ${stripePayments.topUpId}
      where ${stripePayments.paymentIntent} = ${paymentIntent} and ${owner} is not null`),
    db
      .update(stripePayments)
      .set({
        bookedPaidMicros: sql`(select ${topUps.amountMicros} from ${topUps} where ${topUps.id} = ${stripePayments.topUpId})`,
        bookedRefundedMicros: sql`${stripePayments.refundedMicros}`,
        bookedDisputedMicros: DISPUTED,
      })
      .where(and(eq(stripePayments.paymentIntent, paymentIntent), isNotNull(stripePayments.topUpId))),
  ];
}
