// Whom to tell when a balance runs low.
import { index, sqliteTable, text } from "drizzle-orm/sqlite-core";
import type { AccountId } from "../../shared/ids.ts";
import { accounts } from "./accounts.ts";
import { money } from "./columns.ts";

/** `due`: it has crossed the threshold downwards, and the message is not written yet. */
const ALERT_STATES = ["above", "due", "told"] as const;

/** Moved by a trigger on the balance, so that no crossing is missed: a message for each way down, none on the way up. */
export const balanceAlerts = sqliteTable(
  "balance_alerts",
  {
    accountId: text("account_id")
      .$type<AccountId>()
      .primaryKey()
      .references(() => accounts.id),
    thresholdMicros: money("threshold_micros").notNull(),
    state: text("state", { enum: ALERT_STATES }).notNull(),
  },
  (t) => [index("balance_alerts_state").on(t.state)],
);
