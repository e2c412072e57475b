// Where a waiting clip stands, and how fast its queue moves.
import { and, desc, eq, gt, isNull, sql } from "drizzle-orm";
import type { Database } from "../database.ts";
import { clips, runners } from "../schema.ts";
import type { ClipRow } from "./clips.ts";

/** Clips of the same model that are to be taken before this one, counted up to `limit`. */
export async function countAhead(db: Database, clip: Pick<ClipRow, "model" | "turn" | "id">, limit: number) {
  const ahead = db
    .select({ id: clips.id })
    .from(clips)
    .where(
      and(
        sql`${clips.state} = 'queued'`,
        eq(clips.model, clip.model),
        sql`(${clips.turn}, ${clips.id}) < (${clip.turn}, ${clip.id})`,
      ),
    )
    .limit(limit)
    .as("ahead");
  const row = await db.select({ count: sql<number>`count(*)` }).from(ahead).get();
  return row?.count ?? 0;
}

/** Milliseconds from start to success, the mean of the model's last few; null when there is none. */
export async function meanServiceMs(db: Database, model: string, sample: number): Promise<number | null> {
  const last = db
    .select({ ms: sql<number>`${clips.finishedAtMs} - ${clips.startedAtMs}`.as("ms") })
    .from(clips)
    .where(and(sql`${clips.state} = 'succeeded'`, eq(clips.model, model)))
    .orderBy(desc(clips.finishedAtMs))
    .limit(sample)
    .as("last");
  const row = await db
    .select({ mean: sql<number | null>`avg(${last.ms})` })
    .from(last)
    .get();
  return row?.mean ?? null;
}

/** Engines that take clips of the model, of runners that were seen since then. */
export async function countServing(db: Database, model: string, sinceMs: number): Promise<number> {
  const row = await db
    .select({ count: sql<number>`coalesce(sum(json_array_length(${runners.devices})), 0)` })
    .from(runners)
    .where(
      and(
        gt(runners.lastSeenMs, sinceMs),
        isNull(runners.drainedSinceMs),
        sql`exists (select 1 from json_each(${runners.models}) as offered where offered.value = ${model})`,
      ),
    )
    .get();
  return row?.count ?? 0;
}
