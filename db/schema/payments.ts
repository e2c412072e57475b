// Money that comes in through Stripe: what we asked for, what Stripe has told of it, and what of that is booked.
import { sql } from "drizzle-orm";
import { check, index, integer, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";
import { EVENT_OUTCOMES, TOP_UP_STATES } from "../../shared/contract/payments.ts";
import type { AccountId, KeyId, TopUpId } from "../../shared/ids.ts";
import { accounts, apiKeys } from "./accounts.ts";
import { money, timeMs } from "./columns.ts";

/** One Checkout Session each. Written before Stripe is asked, so that no session is paid that we do not know of. */
export const topUps = sqliteTable(
  "top_ups",
  {
    id: text("id").$type<TopUpId>().primaryKey(),
    accountId: text("account_id")
      .$type<AccountId>()
      .notNull()
      .references(() => accounts.id),
    keyId: text("key_id")
      .$type<KeyId>()
      .notNull()
      .references(() => apiKeys.id),
    amountMicros: money("amount_micros").notNull(),
    successUrl: text("success_url").notNull(),
    cancelUrl: text("cancel_url").notNull(),
    /** The customer's; null where the request had none. */
    idempotencyKey: text("idempotency_key"),
    state: text("state", { enum: TOP_UP_STATES }).notNull(),
    /** Null until Stripe has answered, as is the page's address. */
    sessionId: text("session_id"),
    url: text("url"),
    receiptUrl: text("receipt_url"),
    /** Charged to a kept card because the balance ran low: without a page, so with empty URLs to come back to. */
    auto: integer("auto", { mode: "boolean" }).notNull().default(false),
    /** Whether the page keeps the payer's card for later. */
    saveCard: integer("save_card", { mode: "boolean" }).notNull().default(false),
    createdAtMs: timeMs("created_at_ms").notNull(),
  },
  (t) => [
    index("top_ups_account").on(t.accountId, t.id),
    uniqueIndex("top_ups_idempotency").on(t.accountId, t.idempotencyKey),
    uniqueIndex("top_ups_session").on(t.sessionId),
    check("top_up_positive", sql`${t.amountMicros} > 0`),
  ],
);

/** Each event that Stripe has signed, once: its primary key aborts the batch of a repetition. */
export const stripeEvents = sqliteTable("stripe_events", {
  id: text("id").primaryKey(),
  type: text("type").notNull(),
  /** Of the session, charge or dispute that it tells of. */
  objectId: text("object_id"),
  outcome: text("outcome", { enum: EVENT_OUTCOMES }).notNull(),
  receivedAtMs: timeMs("received_at_ms").notNull(),
});

/**
 * What Stripe has said of a payment (a PaymentIntent), in whatever order, and what of it stands in the ledger. A refund
 * that is told before its payment waits here; a payment of something else than a top-up never gets one.
 */
export const stripePayments = sqliteTable(
  "stripe_payments",
  {
    paymentIntent: text("payment_intent").primaryKey(),
    /** Unique: a top-up is credited for one payment only. */
    topUpId: text("top_up_id")
      .$type<TopUpId>()
      .unique("stripe_payments_top_up")
      .references(() => topUps.id),
    /** The charge's cumulative `amount_refunded`. */
    refundedMicros: money("refunded_micros").notNull(),
    bookedPaidMicros: money("booked_paid_micros").notNull(),
    bookedRefundedMicros: money("booked_refunded_micros").notNull(),
    bookedDisputedMicros: money("booked_disputed_micros").notNull(),
  },
  (t) => [
    check("payment_not_negative", sql`${t.refundedMicros} >= 0 and ${t.bookedPaidMicros} >= 0`),
    check("payment_books_what_was_told", sql`${t.bookedRefundedMicros} <= ${t.refundedMicros}`),
  ],
);

/** What a dispute has taken from us: nothing again, once its funds are reinstated. */
export const stripeDisputes = sqliteTable(
  "stripe_disputes",
  {
    id: text("id").primaryKey(),
    paymentIntent: text("payment_intent").notNull(),
    amountMicros: money("amount_micros").notNull(),
    reinstated: integer("reinstated", { mode: "boolean" }).notNull(),
  },
  (t) => [index("stripe_disputes_payment").on(t.paymentIntent)],
);

/** Whose kept cards an account's automatic top-ups are charged to: the customer of its last page that kept one. */
export const stripeCustomers = sqliteTable("stripe_customers", {
  accountId: text("account_id")
    .$type<AccountId>()
    .primaryKey()
    .references(() => accounts.id),
  customerId: text("customer_id").notNull(),
});

/**
 * `due`: the balance has fallen below the threshold, which a trigger on it sees. `charging`: a top-up has been made for it,
 * and Stripe has not told its end. `stopped`: a charge was refused, and nothing is charged until the settings are given anew.
 */
const AUTO_TOP_UP_STATES = ["armed", "due", "charging", "stopped"] as const;

/** One charge at a time: the row names it before Stripe is asked, and lets go of it when Stripe has told its end. */
export const autoTopUps = sqliteTable(
  "auto_top_ups",
  {
    accountId: text("account_id")
      .$type<AccountId>()
      .primaryKey()
      .references(() => accounts.id),
    /** Who set it up. */
    keyId: text("key_id")
      .$type<KeyId>()
      .notNull()
      .references(() => apiKeys.id),
    thresholdMicros: money("threshold_micros").notNull(),
    amountMicros: money("amount_micros").notNull(),
    /** Of one UTC month. */
    monthlyCapMicros: money("monthly_cap_micros").notNull(),
    state: text("state", { enum: AUTO_TOP_UP_STATES }).notNull(),
    topUpId: text("top_up_id")
      .$type<TopUpId>()
      .references(() => topUps.id),
    /** When to look again, where it is due or charging. */
    notBeforeMs: timeMs("not_before_ms").notNull(),
    /** Times that Stripe gave no answer to the present charge. */
    failures: integer("failures").notNull(),
    /** Why nothing is charged. */
    lastError: text("last_error"),
  },
  (t) => [
    index("auto_top_ups_due").on(t.state, t.notBeforeMs),
    uniqueIndex("auto_top_ups_top_up").on(t.topUpId),
    check("auto_top_up_names_its_charge", sql`(${t.state} = 'charging') = (${t.topUpId} is not null)`),
  ],
);
