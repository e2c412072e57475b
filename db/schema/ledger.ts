// Money: the ledger, and the folds of it that are kept as rows so that a CHECK can refuse, inside the transaction
// that would break it, what no look beforehand could refuse for certain.
import { sql } from "drizzle-orm";
import { check, index, integer, primaryKey, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";
import { LEDGER_KINDS } from "../../shared/contract/accounting.ts";
import type { AccountId, ClipId, KeyId, TransactionId } from "../../shared/ids.ts";
import { micros } from "../../shared/pricing.ts";
import { accounts, apiKeys } from "./accounts.ts";
import { clips } from "./clips.ts";
import { money, timeMs } from "./columns.ts";

/** An account's own books (available, held) and the two sides of ours that they are moved against. */
export const LEDGER_BOOKS = ["available", "held", "revenue", "funding"] as const;

/** Double entry: the rows of one transaction sum to 0. Triggers refuse every update, delete and replacement. */
export const ledgerEntries = sqliteTable(
  "ledger_entries",
  {
    transactionId: text("transaction_id").$type<TransactionId>().notNull(),
    book: text("book", { enum: LEDGER_BOOKS }).notNull(),
    accountId: text("account_id")
      .$type<AccountId>()
      .notNull()
      .references(() => accounts.id),
    clipId: text("clip_id")
      .$type<ClipId>()
      .references(() => clips.id),
    /** The API key that spent it; null where none did, as for credit. */
    keyId: text("key_id")
      .$type<KeyId>()
      .references(() => apiKeys.id),
    kind: text("kind", { enum: LEDGER_KINDS }).notNull(),
    amountMicros: money("amount_micros").notNull(),
    reason: text("reason"),
    atMs: timeMs("at_ms").notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.transactionId, t.book] }),
    index("ledger_account").on(t.accountId, t.transactionId),
    // A clip is held once and its hold is resolved once, whatever the code above believes.
    uniqueIndex("ledger_one_hold").on(t.clipId).where(sql`book = 'held' and amount_micros > 0`),
    uniqueIndex("ledger_one_resolution").on(t.clipId).where(sql`book = 'held' and amount_micros < 0`),
  ],
);

/**
 * The fold of an account's ledger, kept as a row so that one CHECK refuses an overdraft inside the
 * transaction that would make it: posted is what the account owns, pending is what holds have reserved of it.
 * What is left may be negative only after a payment was refunded or disputed: that lowers the floor to where it
 * leaves the balance, and each order sets it to 0 again, so that nobody orders into a debt or out of one.
 */
export const balances = sqliteTable(
  "balances",
  {
    accountId: text("account_id")
      .$type<AccountId>()
      .primaryKey()
      .references(() => accounts.id),
    postedMicros: money("posted_micros").notNull(),
    pendingMicros: money("pending_micros").notNull(),
    floorMicros: money("floor_micros").notNull().default(micros(0)),
  },
  (t) => [
    // Those that hold anything, for the sum of all holds: as many as have clips in motion, not as there are accounts.
    index("balances_holding").on(t.pendingMicros).where(sql`pending_micros > 0`),
    check("balance_covers_holds", sql`${t.postedMicros} - ${t.pendingMicros} >= ${t.floorMicros}`),
    check("balance_floor_not_positive", sql`${t.floorMicros} <= 0`),
    check("balance_pending_not_negative", sql`${t.pendingMicros} >= 0`),
  ],
);

/** What of a clip's charge has been given back; the CHECK refuses more than was captured. */
export const clipRefunds = sqliteTable(
  "clip_refunds",
  {
    clipId: text("clip_id")
      .$type<ClipId>()
      .primaryKey()
      .references(() => clips.id),
    capturedMicros: money("captured_micros").notNull(),
    refundedMicros: money("refunded_micros").notNull(),
  },
  (t) => [check("refund_within_capture", sql`${t.refundedMicros} <= ${t.capturedMicros}`)],
);

/** Which caps there are on what is spent in a day. */
export const SPENDERS = ["account", "key"] as const;

/**
 * What an account or a key has spent of its daily cap: the prices of the clips ordered on that UTC day that
 * are held or captured. The cap is the one in force at the last order, so that lowering it never stands in
 * the way of a clip's end.
 */
export const dailySpend = sqliteTable(
  "daily_spend",
  {
    spender: text("spender", { enum: SPENDERS }).notNull(),
    spenderId: text("spender_id").$type<AccountId | KeyId>().notNull(),
    /** Days since 1970-01-01. */
    utcDay: integer("utc_day").notNull(),
    spentMicros: money("spent_micros").notNull(),
    capMicros: money("cap_micros"),
  },
  (t) => [
    primaryKey({ columns: [t.spenderId, t.utcDay] }),
    index("daily_spend_day").on(t.utcDay),
    check("daily_spend_not_negative", sql`${t.spentMicros} >= 0`),
    check(
      "account_daily_cap",
      sql`${t.spender} <> 'account' or ${t.capMicros} is null or ${t.spentMicros} <= ${t.capMicros}`,
    ),
    check("key_daily_cap", sql`${t.spender} <> 'key' or ${t.capMicros} is null or ${t.spentMicros} <= ${t.capMicros}`),
  ],
);

/** An account's clips that have not ended, and how many there might be at its last order. */
export const inFlight = sqliteTable(
  "in_flight",
  {
    accountId: text("account_id")
      .$type<AccountId>()
      .primaryKey()
      .references(() => accounts.id),
    clips: integer("clips").notNull(),
    allowed: integer("allowed").notNull(),
  },
  (t) => [
    check("in_flight_not_negative", sql`${t.clips} >= 0`),
    check("in_flight_allowed", sql`${t.clips} <= ${t.allowed}`),
  ],
);
