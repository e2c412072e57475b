// Customers: accounts, their API keys, and the browser tokens made by these.
import { sql } from "drizzle-orm";
import { check, index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { type BROWSER_SCOPES, DEFAULT_SCOPES, type Scope } from "../../shared/contract/keys.ts";
import type { AccountId, KeyId, TokenId } from "../../shared/ids.ts";
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
  /** Whether its prompts may stand in our logs. */
  logPrompts: integer("log_prompts", { mode: "boolean" }).notNull().default(false),
});

/** A key outlives its secrets, which are rotated; the shown prefix names it to people. */
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
    scopes: text("scopes", { mode: "json" }).$type<readonly Scope[]>().notNull().default(DEFAULT_SCOPES),
    createdAtMs: timeMs("created_at_ms").notNull(),
    expiresAtMs: timeMs("expires_at_ms"),
    revokedAtMs: timeMs("revoked_at_ms"),
    /** What this key may spend in one UTC day, within its account's own cap; null for no cap. */
    dailyCapMicros: money("daily_cap_micros"),
    /** To the hour: not every request is worth a write. */
    lastUsedAtMs: timeMs("last_used_at_ms"),
  },
  (t) => [index("api_keys_account").on(t.accountId, t.id)],
);

/** What opens a key, as SHA-256 only: the newest secret and, for a while after a rotation, those before it. */
export const apiKeySecrets = sqliteTable(
  "api_key_secrets",
  {
    sha256: text("sha256").primaryKey(),
    keyId: text("key_id")
      .$type<KeyId>()
      .notNull()
      .references(() => apiKeys.id),
    createdAtMs: timeMs("created_at_ms").notNull(),
    /** Null until a rotation says when. */
    expiresAtMs: timeMs("expires_at_ms"),
  },
  (t) => [index("api_key_secrets_key").on(t.keyId, t.createdAtMs)],
);

/** Made by a key for a web page's visitor; gone soon after they expire. The CHECK refuses a clip too many. */
export const browserTokens = sqliteTable(
  "browser_tokens",
  {
    id: text("id").$type<TokenId>().primaryKey(),
    keyId: text("key_id")
      .$type<KeyId>()
      .notNull()
      .references(() => apiKeys.id),
    sha256: text("sha256").notNull(),
    scopes: text("scopes", { mode: "json" }).$type<readonly (typeof BROWSER_SCOPES)[number][]>().notNull(),
    origins: text("origins", { mode: "json" }).$type<readonly string[]>().notNull(),
    /** Ordered with it so far. */
    clips: integer("clips").notNull(),
    /** Null for as many as its key may. */
    maxClips: integer("max_clips"),
    createdAtMs: timeMs("created_at_ms").notNull(),
    expiresAtMs: timeMs("expires_at_ms").notNull(),
  },
  (t) => [
    index("browser_tokens_expiring").on(t.expiresAtMs),
    check("browser_token_clips", sql`${t.maxClips} is null or ${t.clips} <= ${t.maxClips}`),
  ],
);
