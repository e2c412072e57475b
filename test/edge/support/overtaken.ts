// A database whose reader is overtaken: between its first read and whatever it does next, something else happens.
import { type Database, openDatabase } from "../../../db/database.ts";
import { env } from "./env.ts";

interface Watched {
  readonly statement: D1PreparedStatement;
  bind(...values: unknown[]): Watched;
  run(): Promise<D1Result>;
  raw(): Promise<unknown[]>;
}

export function overtakenDatabase(meanwhile: () => Promise<unknown>): Database {
  let happened = false;
  const watched = (statement: D1PreparedStatement): Watched => ({
    statement,
    bind: (...values) => watched(statement.bind(...values)),
    run: async () => await statement.run(),
    raw: async () => {
      const rows = await statement.raw();
      if (!happened) {
        happened = true;
        await meanwhile();
      }
      return rows;
    },
  });
  const d1 = {
    prepare: (sql: string) => watched(env.DB.prepare(sql)),
    batch: async (batch: Watched[]) => await env.DB.batch(batch.map(({ statement }) => statement)),
  };
  return openDatabase(d1 as unknown as D1Database);
}
