// Customers: accounts and their API keys.
import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import type { AccountId, KeyId } from "../../shared/ids.ts";
import { money, timeMs } from "./columns.ts";

/** Enough for a busy customer, and a bound on what a runaway loop can queue. */
const DEFAULT_MAX_IN_FLIGHT = 1_000;

export const accounts = sqliteTable("accounts", {
  id: text("id").$type<AccountId>().primaryKey(),
  name: text("name").notNull(),
  createdAtMs: timeMs("created_at_ms").notNull(),
  /** What it may spend in one UTC day, held and captured together; null for no cap. */
  dailyCapMicros: money("daily_cap_micros"),
  /** Clips that may be queued or under way at once. */
  maxInFlight: integer("max_in_flight").notNull().default(DEFAULT_MAX_IN_FLIGHT),
});

/** Only the SHA-256 of a key is kept; the shown prefix names it to people. */
export const apiKeys = sqliteTable(
  "api_keys",
  {
    id: text("id").$type<KeyId>().primaryKey(),
    accountId: text("account_id")
      .$type<AccountId>()
      .notNull()
      .references(() => accounts.id),
    name: text("name").notNull(),
    shownPrefix: text("shown_prefix").notNull(),
    sha256: text("sha256").notNull(),
    createdAtMs: timeMs("created_at_ms").notNull(),
    expiresAtMs: timeMs("expires_at_ms"),
    revokedAtMs: timeMs("revoked_at_ms"),
    /** What this key may spend in one UTC day, within its account's own cap; null for no cap. */
    dailyCapMicros: money("daily_cap_micros"),
  },
  (t) => [index("api_keys_account").on(t.accountId)],
);
