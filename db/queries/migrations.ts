// Which migrations this version wants, by the journal that drizzle keeps, and which the database has had, by the table
// that wrangler keeps.
import { sql } from "drizzle-orm";
import type { Database } from "../database.ts";
import journal from "../migrations/meta/_journal.json" with { type: "json" };

/** The names of their files. */
export const MIGRATIONS: readonly string[] = journal.entries.map(({ tag }) => `${tag}.sql`);

/** Their files' names; none where no migration was ever applied. */
export async function listMigrations(db: Database): Promise<string[]> {
  const known = await db.all(sql`select 1 from sqlite_master where name = 'd1_migrations'`);
  if (known.length === 0) return [];
  const rows = await db.all<{ name: string }>(sql`select name from d1_migrations`);
  return rows.map(({ name }) => name);
}
