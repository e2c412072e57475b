// What became of the deliveries of a trigger: its newest, for a time.
import { and, asc, desc, eq, lt, sql } from "drizzle-orm";
import { type DeliveryId, firstIdAt, type TriggerId } from "../../../shared/ids.ts";
import type { Database } from "../../database.ts";
import { triggerDeliveries, triggers } from "../../schema.ts";
import type { Statement } from "../transitions.ts";

export type TriggerDeliveryRow = typeof triggerDeliveries.$inferSelect;

/**
 * A delivery, counted, and those beyond the newest `most` dropped. The batch aborts by `trigger_deliveries.trigger_id` where
 * the trigger is gone; one that orders also where it is disabled.
 */
export function recordDelivery(db: Database, row: TriggerDeliveryRow, most: number): Statement[] {
  const ordered = row.outcome === "ordered";
  const able = ordered ? sql`and ${triggers.disabledAtMs} is null` : sql``;
  const trigger = sql`(select ${triggers.id} from ${triggers} where ${triggers.id} = ${row.triggerId} ${able})`;
  const counted = {
    ...(ordered && { clips: sql`${triggers.clips} + 1` }),
    ...(row.outcome === "refused" && { refusals: sql`${triggers.refusals} + 1` }),
  };
  const mine = eq(triggerDeliveries.triggerId, row.triggerId);
  const tooOld = sql`(select id from trigger_deliveries where trigger_id = ${row.triggerId}
    order by id desc limit 1 offset ${most})`;
  return [
    db.insert(triggerDeliveries).values({ ...row, triggerId: trigger }),
    db
      .update(triggers)
      .set({ lastDeliveryAtMs: row.createdAtMs, ...counted })
      .where(eq(triggers.id, row.triggerId)),
    db.delete(triggerDeliveries).where(and(mine, sql`${triggerDeliveries.id} <= ${tooOld}`)),
  ];
}

/** Newest first. */
export async function findDeliveries(
  db: Database,
  triggerId: TriggerId,
  after: DeliveryId | null,
  limit: number,
): Promise<TriggerDeliveryRow[]> {
  return await db
    .select()
    .from(triggerDeliveries)
    .where(
      and(eq(triggerDeliveries.triggerId, triggerId), after === null ? undefined : lt(triggerDeliveries.id, after)),
    )
    .orderBy(desc(triggerDeliveries.id))
    .limit(limit);
}

/** Drops the oldest deliveries that came before that time; how many there were. */
export async function dropDeliveries(db: Database, beforeMs: number, limit: number): Promise<number> {
  const { meta } = await db.delete(triggerDeliveries).where(
    sql`id in (select id from trigger_deliveries where id < ${firstIdAt("delivery", beforeMs)}
      order by id limit ${limit})`,
  );
  return meta.changes;
}

export async function findOldestDelivery(db: Database): Promise<number | null> {
  const row = await db
    .select({ at: triggerDeliveries.createdAtMs })
    .from(triggerDeliveries)
    .orderBy(asc(triggerDeliveries.id))
    .limit(1)
    .get();
  return row?.at ?? null;
}
