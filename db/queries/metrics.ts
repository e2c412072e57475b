// What an operator watches, counted on indexes of what is in motion: none of these reads past clips, and none locks or
// writes. Each costs as much as there is of what it counts.
import { count, min, sql, sum } from "drizzle-orm";
import { type Id, type IdKind, timeOfId } from "../../shared/ids.ts";
import type { Database } from "../database.ts";
import { balances, clips, clipTotals, webhookDeliveries } from "../schema.ts";

const bornAtMs = <K extends IdKind>(id: Id<K> | null) => (id === null ? null : timeOfId(id));

/** By model; the oldest by its id, which stands in the index where the time of its order does not. */
export async function countQueued(db: Database) {
  const rows = await db
    .select({ model: clips.model, clips: count(), oldest: min(clips.id) })
    .from(clips)
    .where(sql`${clips.state} = 'queued'`)
    .groupBy(clips.model);
  return rows.map(({ oldest, ...row }) => ({ ...row, oldestMs: bornAtMs(oldest) }));
}

/** Attempts under way, by model and state. */
export async function countHeld(db: Database) {
  return await db
    .select({ model: clips.model, state: clips.state, clips: count() })
    .from(clips)
    .where(sql`${clips.state} in ('leased', 'running')`)
    .groupBy(clips.model, clips.state);
}

/** All clips that have ever ended, by model and state. */
export async function listTotals(db: Database) {
  return await db.select().from(clipTotals);
}

/** Deliveries that are still to be made: how many, of which message the oldest is, and when the first was due. */
export async function findBacklog(db: Database) {
  const row = await db
    .select({
      deliveries: count(),
      oldest: min(webhookDeliveries.messageId),
      dueMs: min(webhookDeliveries.nextAttemptAtMs),
    })
    .from(webhookDeliveries)
    .where(sql`${webhookDeliveries.state} = 'pending'`)
    .get();
  return { deliveries: row?.deliveries ?? 0, oldestMs: bornAtMs(row?.oldest ?? null), dueMs: row?.dueMs ?? null };
}

/** Micro-dollars that all accounts together have held. */
export async function sumHolds(db: Database): Promise<number> {
  const row = await db
    .select({ micros: sum(balances.pendingMicros).mapWith(Number) })
    .from(balances)
    .where(sql`${balances.pendingMicros} > 0`)
    .get();
  return row?.micros ?? 0;
}
