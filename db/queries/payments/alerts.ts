// The threshold of an account's balance, and which accounts have fallen below theirs.
import { and, eq, sql } from "drizzle-orm";
import type { AccountId } from "../../../shared/ids.ts";
import type { Micros } from "../../../shared/pricing.ts";
import type { Database } from "../../database.ts";
import { balanceAlerts, balances } from "../../schema.ts";
import type { Statement } from "../transitions.ts";

export type AlertRow = typeof balanceAlerts.$inferSelect;

/** A balance that is below it already is told of at once. */
export async function setThreshold(db: Database, accountId: AccountId, thresholdMicros: Micros): Promise<void> {
  const state = sql`case when ${balances.postedMicros} - ${balances.pendingMicros} < ${thresholdMicros}
    then 'due' else 'above' end`;
  await db
    .insert(balanceAlerts)
    .select(
      sql`select ${accountId}, ${thresholdMicros}, ${state} from ${balances} where ${balances.accountId} = ${accountId}`,
    )
    .onConflictDoUpdate({
      target: balanceAlerts.accountId,
      set: { thresholdMicros: sql`excluded.threshold_micros`, state: sql`excluded.state` },
    });
}

export async function dropThreshold(db: Database, accountId: AccountId): Promise<void> {
  await db.delete(balanceAlerts).where(eq(balanceAlerts.accountId, accountId));
}

export async function findThreshold(db: Database, accountId: AccountId): Promise<AlertRow | undefined> {
  return await db.select().from(balanceAlerts).where(eq(balanceAlerts.accountId, accountId)).get();
}

/** With what is left of each balance. */
export async function findDueAlerts(
  db: Database,
  limit: number,
): Promise<(Pick<AlertRow, "accountId" | "thresholdMicros"> & { readonly availableMicros: number })[]> {
  return await db
    .select({
      accountId: balanceAlerts.accountId,
      thresholdMicros: balanceAlerts.thresholdMicros,
      availableMicros: sql<number>`${balances.postedMicros} - ${balances.pendingMicros}`,
    })
    .from(balanceAlerts)
    .innerJoin(balances, eq(balances.accountId, balanceAlerts.accountId))
    .where(eq(balanceAlerts.state, "due"))
    .limit(limit);
}

/** Not if the balance has risen above it meanwhile, or another sweep was first. */
export function markTold(db: Database, accountId: AccountId): Statement {
  return db
    .update(balanceAlerts)
    .set({ state: "told" })
    .where(and(eq(balanceAlerts.accountId, accountId), eq(balanceAlerts.state, "due")));
}
