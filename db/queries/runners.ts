// Runners: who they are, what they last said about themselves, and what they do.
import { asc, eq, sql } from "drizzle-orm";
import type { RunnerId } from "../../shared/ids.ts";
import type { Database } from "../database.ts";
import { clips, runners } from "../schema.ts";
import type { Statement } from "./transitions.ts";

export type RunnerRow = typeof runners.$inferSelect;

export async function insertRunner(db: Database, runner: typeof runners.$inferInsert): Promise<void> {
  await db.insert(runners).values(runner);
}

export async function findRunner(db: Database, id: RunnerId): Promise<RunnerRow | undefined> {
  return await db.select().from(runners).where(eq(runners.id, id)).get();
}

export type RunnerSighting = Pick<
  RunnerRow,
  "lastSeenMs" | "models" | "loadedModel" | "version" | "engine" | "devices"
>;

export async function updateSighting(db: Database, id: RunnerId, sighting: RunnerSighting): Promise<void> {
  await db.update(runners).set(sighting).where(eq(runners.id, id));
}

/** It sends heartbeats, so it lives. */
export function touchRunner(db: Database, id: RunnerId, atMs: number): Statement {
  return db
    .update(runners)
    .set({ lastSeenMs: sql`max(coalesce(${runners.lastSeenMs}, 0), ${atMs})` })
    .where(eq(runners.id, id));
}

/** One that is drained already keeps the time since when it is. */
export async function drain(db: Database, id: RunnerId, atMs: number): Promise<void> {
  await db
    .update(runners)
    .set({ drainedSinceMs: sql`coalesce(${runners.drainedSinceMs}, ${atMs})` })
    .where(eq(runners.id, id));
}

export async function resume(db: Database, id: RunnerId): Promise<void> {
  await db.update(runners).set({ drainedSinceMs: null }).where(eq(runners.id, id));
}

export async function listRunners(db: Database, limit: number): Promise<RunnerRow[]> {
  return await db.select().from(runners).orderBy(asc(runners.id)).limit(limit);
}

/** The attempts that are under way, by any runner; those whose time is up first come first. */
export async function listAttempts(db: Database, limit: number) {
  const { id, attempt, state, model, runnerId, progress, leaseUntilMs } = clips;
  return await db
    .select({ id, attempt, state, model, runnerId, progress, leaseUntilMs })
    .from(clips)
    .where(sql`${clips.state} in ('leased', 'running')`)
    .orderBy(asc(clips.leaseUntilMs))
    .limit(limit);
}
