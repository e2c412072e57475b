// What Stripe has told, as it stands: each statement may run in any order with the others, and again.
import { and, eq, isNull, or, sql } from "drizzle-orm";
import type { TopUpId } from "../../../shared/ids.ts";
import { type Micros, micros } from "../../../shared/pricing.ts";
import type { Database } from "../../database.ts";
import { stripeDisputes, stripeEvents, stripePayments, topUps } from "../../schema.ts";
import type { Statement } from "../transitions.ts";

/** Unguarded: an event that was recorded before violates the primary key, which aborts its whole batch. */
export function recordEvent(db: Database, event: typeof stripeEvents.$inferInsert): Statement {
  return db.insert(stripeEvents).values(event);
}

const NOTHING_BOOKED = {
  bookedPaidMicros: micros(0),
  bookedRefundedMicros: micros(0),
  bookedDisputedMicros: micros(0),
} as const;

/** A second payment for the top-up violates `stripe_payments.top_up_id`, which aborts the batch. */
export function notePaid(db: Database, topUpId: TopUpId, sessionId: string | null, paymentIntent: string): Statement[] {
  return [
    db
      .insert(stripePayments)
      .values({ paymentIntent, topUpId, refundedMicros: micros(0), ...NOTHING_BOOKED })
      .onConflictDoUpdate({
        target: stripePayments.paymentIntent,
        set: { topUpId: sql`coalesce(${stripePayments.topUpId}, excluded.top_up_id)` },
      }),
    db.update(topUps).set({ state: "paid", sessionId, url: null }).where(eq(topUps.id, topUpId)),
  ];
}

/** `totalMicros` is all that was refunded of the payment so far; what was told later but happened before is less. */
export function noteRefunded(db: Database, paymentIntent: string, totalMicros: Micros): Statement {
  return db
    .insert(stripePayments)
    .values({ paymentIntent, topUpId: null, refundedMicros: totalMicros, ...NOTHING_BOOKED })
    .onConflictDoUpdate({
      target: stripePayments.paymentIntent,
      set: { refundedMicros: sql`max(${stripePayments.refundedMicros}, excluded.refunded_micros)` },
    });
}

/** Funds that are reinstated were withdrawn before, whichever is told first. */
export function noteDispute(db: Database, dispute: typeof stripeDisputes.$inferInsert): Statement {
  return db
    .insert(stripeDisputes)
    .values(dispute)
    .onConflictDoUpdate({
      target: stripeDisputes.id,
      set: { reinstated: sql`max(${stripeDisputes.reinstated}, excluded.reinstated)` },
    });
}

/** Its page is of no more use. One that was paid stays so. */
export function closeTopUp(
  db: Database,
  id: TopUpId,
  sessionId: string | null,
  state: "failed" | "expired",
): Statement {
  const ofSession = or(isNull(topUps.sessionId), sessionId === null ? undefined : eq(topUps.sessionId, sessionId));
  return db
    .update(topUps)
    .set({ state, url: null })
    .where(and(eq(topUps.id, id), eq(topUps.state, "open"), ofSession));
}
