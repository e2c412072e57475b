// Top-ups as their owner sees them: with what was paid back of each.
import { and, desc, eq, isNull, lt, sql } from "drizzle-orm";
import type { AccountId, TopUpId } from "../../../shared/ids.ts";
import type { Micros } from "../../../shared/pricing.ts";
import type { Database } from "../../database.ts";
import { stripePayments, topUps } from "../../schema.ts";
import type { Statement } from "../transitions.ts";

export type TopUpRow = typeof topUps.$inferSelect;
export interface ListedTopUp extends TopUpRow {
  readonly paymentIntent: string | null;
  readonly refundedMicros: Micros;
  readonly disputedMicros: Micros;
}

const booked = (column: typeof stripePayments.bookedRefundedMicros | typeof stripePayments.bookedDisputedMicros) =>
  sql<Micros>`coalesce(${column}, 0)`;

const selectListed = (db: Database) =>
  db
    .select({
      topUp: topUps,
      paymentIntent: stripePayments.paymentIntent,
      refundedMicros: booked(stripePayments.bookedRefundedMicros),
      disputedMicros: booked(stripePayments.bookedDisputedMicros),
    })
    .from(topUps)
    .leftJoin(stripePayments, eq(stripePayments.topUpId, topUps.id));

/** A second one with the account's idempotency key violates `top_ups.account_id, top_ups.idempotency_key`. */
export function insertTopUp(db: Database, row: TopUpRow): Statement {
  return db.insert(topUps).values(row);
}

export async function findTopUp(db: Database, id: TopUpId): Promise<TopUpRow | undefined> {
  return await db.select().from(topUps).where(eq(topUps.id, id)).get();
}

export async function findTopUpByKey(db: Database, accountId: AccountId, key: string): Promise<TopUpRow | undefined> {
  return await db
    .select()
    .from(topUps)
    .where(and(eq(topUps.accountId, accountId), eq(topUps.idempotencyKey, key)))
    .get();
}

/** Not if it was paid meanwhile, or another request has written it. */
export async function keepSession(
  db: Database,
  id: TopUpId,
  session: { readonly sessionId: string; readonly url: string },
): Promise<void> {
  await db
    .update(topUps)
    .set(session)
    .where(and(eq(topUps.id, id), isNull(topUps.sessionId), eq(topUps.state, "open")));
}

export async function keepReceipt(db: Database, id: TopUpId, receiptUrl: string): Promise<void> {
  await db.update(topUps).set({ receiptUrl }).where(eq(topUps.id, id));
}

export async function findListedTopUp(
  db: Database,
  accountId: AccountId,
  id: TopUpId,
): Promise<ListedTopUp | undefined> {
  const row = await selectListed(db)
    .where(and(eq(topUps.accountId, accountId), eq(topUps.id, id)))
    .get();
  return row === undefined ? undefined : flat(row);
}

/** Newest first. */
export async function findTopUps(
  db: Database,
  accountId: AccountId,
  after: TopUpId | null,
  limit: number,
): Promise<ListedTopUp[]> {
  const rows = await selectListed(db)
    .where(and(eq(topUps.accountId, accountId), after === null ? undefined : lt(topUps.id, after)))
    .orderBy(desc(topUps.id))
    .limit(limit);
  return rows.map(flat);
}

function flat({ topUp, ...of }: { topUp: TopUpRow } & Omit<ListedTopUp, keyof TopUpRow>): ListedTopUp {
  return { ...topUp, ...of };
}
