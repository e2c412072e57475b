// Which migrations the database has had, by the table that wrangler keeps of them.
import { sql } from "drizzle-orm";
import type { Database } from "../database.ts";

/** Their files' names; none where no migration was ever applied. */
export async function listMigrations(db: Database): Promise<string[]> {
  const known = await db.all(sql`select 1 from sqlite_master where name = 'd1_migrations'`);
  if (known.length === 0) return [];
  const rows = await db.all<{ name: string }>(sql`select name from d1_migrations`);
  return rows.map(({ name }) => name);
}
