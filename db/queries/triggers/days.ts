// What a trigger has ordered of what it may in a day: a row with CHECKs, moved in the order's batch (decision 0042).
import { and, eq, sql } from "drizzle-orm";
import type { ClipId, TriggerId } from "../../../shared/ids.ts";
import { type Micros, micros } from "../../../shared/pricing.ts";
import type { Database } from "../../database.ts";
import { clips, triggerDays, triggers } from "../../schema.ts";
import { CLIP_DAY } from "../limits.ts";
import type { Statement } from "../transitions.ts";

/** Of a clip that a trigger ordered. Aborts the batch by `trigger_daily_clips` or `trigger_daily_cap`. */
export function countTriggered(db: Database, id: ClipId): Statement {
  return db
    .insert(triggerDays)
    .select(
      sql`select ${triggers.id}, ${CLIP_DAY}, 1, ${triggers.dailyClips}, ${clips.priceMicros}, ${triggers.dailyCapMicros}
        from ${clips} join ${triggers} on ${triggers.id} = ${clips.triggerId} where ${clips.id} = ${id}`,
    )
    .onConflictDoUpdate({
      target: [triggerDays.triggerId, triggerDays.utcDay],
      set: {
        clips: sql`${triggerDays.clips} + 1`,
        maxClips: sql`excluded.max_clips`,
        spentMicros: sql`${triggerDays.spentMicros} + excluded.spent_micros`,
        capMicros: sql`excluded.cap_micros`,
      },
    });
}

/** What is held and captured of that day's orders. */
export async function findTriggerDay(
  db: Database,
  triggerId: TriggerId,
  utcDay: number,
): Promise<{ readonly clips: number; readonly spentMicros: Micros }> {
  const { clips: ordered, spentMicros } = triggerDays;
  const row = await db
    .select({ clips: ordered, spentMicros })
    .from(triggerDays)
    .where(and(eq(triggerDays.triggerId, triggerId), eq(triggerDays.utcDay, utcDay)))
    .get();
  return row ?? { clips: 0, spentMicros: micros(0) };
}
