// What is kept for a time only: the bytes of attempts that have ended, and answers to Idempotency-Keys.
import { and, asc, eq, lte, min, sql } from "drizzle-orm";
import type { Database } from "../database.ts";
import { clips, idempotencyKeys, outputRemovals } from "../schema.ts";
import { type Statement, type Transition, tookPlace } from "./transitions.ts";

export type OutputRemoval = typeof outputRemovals.$inferSelect;

/** A later statement of whatever ends an attempt. A clip that ends while it waits has had its removals scheduled. */
export function scheduleRemoval(db: Database, transition: Transition, dueAtMs: number): Statement {
  return db
    .insert(outputRemovals)
    .select(
      sql`select ${clips.id}, ${clips.attempt}, ${dueAtMs} from ${clips}
        where ${transition.clip} and ${clips.attempt} > 0 and ${tookPlace(transition)}`,
    )
    .onConflictDoNothing();
}

/** The longest overdue first. */
export async function findDueRemovals(db: Database, nowMs: number, limit: number): Promise<OutputRemoval[]> {
  return await db
    .select()
    .from(outputRemovals)
    .where(lte(outputRemovals.dueAtMs, nowMs))
    .orderBy(asc(outputRemovals.dueAtMs))
    .limit(limit);
}

/** Once the bytes are gone: the clips are marked and nothing is left to be removed. */
export async function settleRemovals(db: Database, removals: readonly OutputRemoval[], atMs: number): Promise<void> {
  const pairs = JSON.stringify(removals.map(({ clipId, attempt }) => [clipId, attempt]));
  const among = sql`(select value ->> 0, value ->> 1 from json_each(${pairs}))`;
  await db.batch([
    db
      .update(clips)
      .set({ outputRemovedAtMs: atMs })
      .where(and(eq(clips.state, "succeeded"), sql`(${clips.id}, ${clips.attempt}) in ${among}`)),
    db.delete(outputRemovals).where(sql`(${outputRemovals.clipId}, ${outputRemovals.attempt}) in ${among}`),
  ]);
}

export async function findNextRemoval(db: Database): Promise<number | null> {
  const row = await db
    .select({ at: min(outputRemovals.dueAtMs) })
    .from(outputRemovals)
    .get();
  return row?.at ?? null;
}

/** Drops the oldest answers that were given at that time or before; how many there were. */
export async function dropAnswers(db: Database, bornByMs: number, limit: number): Promise<number> {
  const { meta } = await db.delete(idempotencyKeys).where(
    sql`rowid in (select rowid from idempotency_keys where created_at_ms <= ${bornByMs}
      order by created_at_ms limit ${limit})`,
  );
  return meta.changes;
}

export async function findOldestAnswer(db: Database): Promise<number | null> {
  const row = await db
    .select({ at: min(idempotencyKeys.createdAtMs) })
    .from(idempotencyKeys)
    .get();
  return row?.at ?? null;
}
