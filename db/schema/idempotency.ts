// Answers kept for requests that are to be done once.
import { index, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";
import type { AccountId } from "../../shared/ids.ts";
import { accounts } from "./accounts.ts";
import { timeMs } from "./columns.ts";

export const IDEMPOTENT_OPERATIONS = ["create_clip", "grant_credit", "refund_clip"] as const;
export type IdempotentOperation = (typeof IDEMPOTENT_OPERATIONS)[number];

/** The answer to a request with an Idempotency-Key, written in the transaction that did the work. */
export const idempotencyKeys = sqliteTable(
  "idempotency_keys",
  {
    accountId: text("account_id")
      .$type<AccountId>()
      .notNull()
      .references(() => accounts.id),
    operation: text("operation", { enum: IDEMPOTENT_OPERATIONS }).notNull(),
    key: text("key").notNull(),
    /** SHA-256 of the validated request, in hex. */
    fingerprint: text("fingerprint").notNull(),
    /** The body of the answer, to be given again byte for byte. */
    answer: text("answer").notNull(),
    createdAtMs: timeMs("created_at_ms").notNull(),
  },
  (t) => [primaryKey({ columns: [t.accountId, t.operation, t.key] }), index("idempotency_age").on(t.createdAtMs)],
);
