// The database as services see it: drizzle over anything with D1's shape. There are no interactive
// transactions on D1; whatever must commit together goes into one batch().
import { type DrizzleD1Database, drizzle } from "drizzle-orm/d1";

export type Database = DrizzleD1Database;

export function openDatabase(d1: D1Database): Database {
  return drizzle(d1);
}

/**
 * The constraint whose violation aborted a batch, as SQLite names it: a CHECK by its name
 * ("balance_covers_holds"), a UNIQUE or NOT NULL by its columns ("idempotency_keys.account_id, ..."). Null
 * for any other error.
 */
export function violatedConstraint(error: unknown): string | null {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const match = /(?:CHECK|UNIQUE|NOT NULL) constraint failed: ([\w.]+(?:, [\w.]+)*)/.exec(cause.message);
    if (match?.[1] !== undefined) return match[1];
  }
  return null;
}
