// Runners: who they are and what they last said about themselves.
import { eq } from "drizzle-orm";
import type { RunnerId } from "../../shared/ids.ts";
import type { Database } from "../database.ts";
import { runners } from "../schema.ts";

export type RunnerRow = typeof runners.$inferSelect;

export async function insertRunner(db: Database, runner: typeof runners.$inferInsert): Promise<void> {
  await db.insert(runners).values(runner);
}

export async function findRunner(db: Database, id: RunnerId): Promise<RunnerRow | undefined> {
  return await db.select().from(runners).where(eq(runners.id, id)).get();
}

export type RunnerSighting = Pick<RunnerRow, "lastSeenMs" | "models" | "loadedModel" | "version">;

export async function updateSighting(db: Database, id: RunnerId, sighting: RunnerSighting): Promise<void> {
  await db.update(runners).set(sighting).where(eq(runners.id, id));
}
