// What the operator reads: how many clips have ended and how, and who did what to keys and money.
import { index, integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { AUDIT_ACTIONS } from "../../shared/contract/audit.ts";
import type { AccountId, AuditId, ClipId, EndpointId, KeyId, TopUpId, TransactionId } from "../../shared/ids.ts";
import { TERMINAL_STATES } from "../../shared/states.ts";
import { accounts } from "./accounts.ts";
import { timeMs } from "./columns.ts";

/** Counted by a trigger on the event that ends a clip, so that nobody ever counts past clips. */
export const clipTotals = sqliteTable(
  "clip_totals",
  {
    model: text("model").notNull(),
    state: text("state", { enum: TERMINAL_STATES }).notNull(),
    clips: integer("clips").notNull(),
  },
  (t) => [primaryKey({ columns: [t.model, t.state] })],
);

/** Acts on keys and money. Triggers refuse every update and delete. */
export const auditLog = sqliteTable(
  "audit_log",
  {
    id: text("id").$type<AuditId>().primaryKey(),
    accountId: text("account_id")
      .$type<AccountId>()
      .notNull()
      .references(() => accounts.id),
    actor: text("actor").$type<KeyId | "operator" | "stripe" | "service">().notNull(),
    action: text("action", { enum: AUDIT_ACTIONS }).notNull(),
    /** What it was done to. */
    subject: text("subject").$type<KeyId | ClipId | TransactionId | TopUpId | EndpointId | AccountId>().notNull(),
    /** Never a secret, a prompt or an address. */
    detail: text("detail", { mode: "json" }).$type<Readonly<Record<string, unknown>>>().notNull(),
    /** Null for what no request asked for. */
    requestId: text("request_id"),
    atMs: timeMs("at_ms").notNull(),
  },
  (t) => [index("audit_log_account").on(t.accountId, t.id)],
);
