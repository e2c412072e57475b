// Webhooks in: URLs that make clips, what opens them, what they may spend in a day, and what was posted to them.
import { sql } from "drizzle-orm";
import { check, index, integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { DELIVERY_OUTCOMES, SIGNATURE_SCHEMES, type TriggerClip } from "../../shared/contract/triggers.ts";
import type { ErrorCode } from "../../shared/errors.ts";
import type { AccountId, ClipId, DeliveryId, KeyId, TriggerId } from "../../shared/ids.ts";
import { accounts, apiKeys } from "./accounts.ts";
import { money, timeMs } from "./columns.ts";

export const triggers = sqliteTable(
  "triggers",
  {
    id: text("id").$type<TriggerId>().primaryKey(),
    accountId: text("account_id")
      .$type<AccountId>()
      .notNull()
      .references(() => accounts.id),
    /** It orders with this key, and ends with it. */
    keyId: text("key_id")
      .$type<KeyId>()
      .notNull()
      .references(() => apiKeys.id),
    name: text("name").notNull(),
    /** A template. */
    prompt: text("prompt").notNull(),
    /** Its values are templates. */
    metadata: text("metadata", { mode: "json" }).$type<Readonly<Record<string, string>>>().notNull(),
    /** JSON paths, and what must be there. */
    conditions: text("conditions", { mode: "json" })
      .$type<Readonly<Record<string, string | number | boolean>>>()
      .notNull(),
    clip: text("clip", { mode: "json" }).$type<TriggerClip>().notNull(),
    dailyClips: integer("daily_clips"),
    dailyCapMicros: money("daily_cap_micros"),
    /** The sender's secrets are rows of webhook_secrets. */
    signature: text("signature", { enum: SIGNATURE_SCHEMES }).notNull(),
    disabledAtMs: timeMs("disabled_at_ms"),
    createdAtMs: timeMs("created_at_ms").notNull(),
    lastDeliveryAtMs: timeMs("last_delivery_at_ms"),
    clips: integer("clips").notNull(),
    refusals: integer("refusals").notNull(),
  },
  (t) => [index("triggers_account").on(t.accountId, t.id)],
);

/** The URLs that open a trigger, as SHA-256 only: the newest and, for a while after a rotation, those before it. */
export const triggerUrls = sqliteTable(
  "trigger_urls",
  {
    sha256: text("sha256").primaryKey(),
    triggerId: text("trigger_id")
      .$type<TriggerId>()
      .notNull()
      .references(() => triggers.id),
    createdAtMs: timeMs("created_at_ms").notNull(),
    /** Null until a rotation says when. */
    expiresAtMs: timeMs("expires_at_ms"),
  },
  (t) => [index("trigger_urls_trigger").on(t.triggerId, t.createdAtMs)],
);

/** As `daily_spend` for accounts and keys (decision 0042): what is held and captured of a day's orders, and what might be. */
export const triggerDays = sqliteTable(
  "trigger_days",
  {
    triggerId: text("trigger_id")
      .$type<TriggerId>()
      .notNull()
      .references(() => triggers.id),
    /** Days since 1970-01-01. */
    utcDay: integer("utc_day").notNull(),
    clips: integer("clips").notNull(),
    maxClips: integer("max_clips"),
    spentMicros: money("spent_micros").notNull(),
    capMicros: money("cap_micros"),
  },
  (t) => [
    primaryKey({ columns: [t.triggerId, t.utcDay] }),
    index("trigger_days_day").on(t.utcDay),
    check("trigger_day_not_negative", sql`${t.clips} >= 0 and ${t.spentMicros} >= 0`),
    check("trigger_daily_clips", sql`${t.maxClips} is null or ${t.clips} <= ${t.maxClips}`),
    check("trigger_daily_cap", sql`${t.capMicros} is null or ${t.spentMicros} <= ${t.capMicros}`),
  ],
);

/** What became of each POST, the newest for a time; never its body. Those that ordered a clip go when it is deleted. */
export const triggerDeliveries = sqliteTable(
  "trigger_deliveries",
  {
    id: text("id").$type<DeliveryId>().primaryKey(),
    triggerId: text("trigger_id")
      .$type<TriggerId>()
      .notNull()
      .references(() => triggers.id),
    outcome: text("outcome", { enum: DELIVERY_OUTCOMES }).notNull(),
    clipId: text("clip_id").$type<ClipId>(),
    code: text("code").$type<ErrorCode>(),
    detail: text("detail"),
    deliveryKey: text("delivery_key"),
    createdAtMs: timeMs("created_at_ms").notNull(),
  },
  (t) => [
    index("trigger_deliveries_trigger").on(t.triggerId, t.id),
    index("trigger_deliveries_clip").on(t.clipId).where(sql`clip_id is not null`),
  ],
);
