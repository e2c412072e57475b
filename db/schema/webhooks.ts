// What is told to customers' own servers: where to, signed by which secrets, and how each telling went.
import { sql } from "drizzle-orm";
import { index, integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";
import type { WebhookEventType } from "../../shared/contract/webhooks.ts";
import type { AccountId, ClipId, EndpointId, EventId, TriggerId } from "../../shared/ids.ts";
import { accounts } from "./accounts.ts";
import { clips } from "./clips.ts";
import { timeMs } from "./columns.ts";

/** What is delivered one after the other by one Outbox: an endpoint's id, or `<account>@<host>` of per-clip URLs. */
export type Lane = string & { readonly __lane: true };

export const DISABLED_REASONS = ["requested", "gone", "failing"] as const;
export const DELIVERY_STATES = ["pending", "delivered", "exhausted"] as const;

export const webhookEndpoints = sqliteTable(
  "webhook_endpoints",
  {
    id: text("id").$type<EndpointId>().primaryKey(),
    accountId: text("account_id")
      .$type<AccountId>()
      .notNull()
      .references(() => accounts.id),
    url: text("url").notNull(),
    /** The types it wants; null for all. */
    events: text("events", { mode: "json" }).$type<readonly WebhookEventType[]>(),
    disabledReason: text("disabled_reason", { enum: DISABLED_REASONS }),
    disabledAtMs: timeMs("disabled_at_ms"),
    /** Since when nothing has been delivered though it was tried; null once something is. */
    failingSinceMs: timeMs("failing_since_ms"),
    createdAtMs: timeMs("created_at_ms").notNull(),
  },
  (t) => [index("webhook_endpoints_account").on(t.accountId, t.id)],
);

/**
 * Owned by an endpoint, by an account for its per-clip URLs, or by a trigger, whose senders sign with it. Sealed, so that a
 * copy of the database signs nothing.
 */
export const webhookSecrets = sqliteTable(
  "webhook_secrets",
  {
    id: text("id").primaryKey(),
    owner: text("owner").$type<EndpointId | AccountId | TriggerId>().notNull(),
    sealed: text("sealed").notNull(),
    createdAtMs: timeMs("created_at_ms").notNull(),
    /** When its rotation is over; null for the current one. */
    expiresAtMs: timeMs("expires_at_ms"),
  },
  (t) => [index("webhook_secrets_owner").on(t.owner)],
);

/** Written by the trigger on clip_events (decision 0060), so in the transaction that it tells of. */
export const webhookMessages = sqliteTable(
  "webhook_messages",
  {
    /** The webhook-id: that of the clip's event, where there is one. */
    id: text("id").$type<EventId>().primaryKey(),
    accountId: text("account_id")
      .$type<AccountId>()
      .notNull()
      .references(() => accounts.id),
    clipId: text("clip_id")
      .$type<ClipId>()
      .references(() => clips.id),
    type: text("type").$type<WebhookEventType>().notNull(),
    /** The body, to the byte: what is signed and sent each time. Empty once its clip is erased. */
    payload: text("payload").notNull(),
    createdAtMs: timeMs("created_at_ms").notNull(),
  },
  (t) => [
    index("webhook_messages_age").on(t.createdAtMs),
    index("webhook_messages_clip").on(t.clipId).where(sql`clip_id is not null`),
  ],
);

export const webhookDeliveries = sqliteTable(
  "webhook_deliveries",
  {
    messageId: text("message_id")
      .$type<EventId>()
      .notNull()
      .references(() => webhookMessages.id),
    lane: text("lane").$type<Lane>().notNull(),
    accountId: text("account_id")
      .$type<AccountId>()
      .notNull()
      .references(() => accounts.id),
    url: text("url").notNull(),
    state: text("state", { enum: DELIVERY_STATES }).notNull(),
    /** Attempts so far; it never goes back, and fences what an attempt writes. */
    attempts: integer("attempts").notNull(),
    /** Attempts before the last replay: the schedule begins after them. */
    replayedAfter: integer("replayed_after").notNull(),
    nextAttemptAtMs: timeMs("next_attempt_at_ms").notNull(),
    lastStatus: integer("last_status"),
    lastError: text("last_error"),
  },
  (t) => [
    primaryKey({ columns: [t.messageId, t.lane] }),
    index("webhook_deliveries_due").on(t.lane, t.nextAttemptAtMs).where(sql`state = 'pending'`),
    index("webhook_deliveries_overdue").on(t.nextAttemptAtMs, t.messageId).where(sql`state = 'pending'`),
    index("webhook_deliveries_account").on(t.accountId, t.messageId),
    index("webhook_deliveries_state").on(t.accountId, t.state, t.messageId),
  ],
);

export const webhookAttempts = sqliteTable(
  "webhook_attempts",
  {
    messageId: text("message_id")
      .$type<EventId>()
      .notNull()
      .references(() => webhookMessages.id),
    lane: text("lane").$type<Lane>().notNull(),
    /** 1 is the first. */
    attempt: integer("attempt").notNull(),
    atMs: timeMs("at_ms").notNull(),
    durationMs: integer("duration_ms").notNull(),
    /** Null when there was no answer. */
    status: integer("status"),
    error: text("error"),
    /** The first bytes of what was answered, as text. */
    answer: text("answer"),
  },
  (t) => [primaryKey({ columns: [t.messageId, t.lane, t.attempt] })],
);
