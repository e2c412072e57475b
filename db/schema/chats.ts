// Chat platforms: which server or workspace orders for which account, what it orders a day, and what a bot still owes it.
import { sql } from "drizzle-orm";
import { check, index, integer, primaryKey, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";
import type { ChatPlatform } from "../../shared/contract/chats.ts";
import type { AccountId, ClipId, KeyId, LinkId } from "../../shared/ids.ts";
import { accounts, apiKeys } from "./accounts.ts";
import { clips } from "./clips.ts";
import { money, timeMs } from "./columns.ts";
import type { Lane } from "./webhooks.ts";

/** Orders from a place are its key's, within what the key may. A link waits for its code, stands, or is undone. */
export const chatLinks = sqliteTable(
  "chat_links",
  {
    id: text("id").$type<LinkId>().primaryKey(),
    accountId: text("account_id")
      .$type<AccountId>()
      .notNull()
      .references(() => accounts.id),
    keyId: text("key_id")
      .$type<KeyId>()
      .notNull()
      .references(() => apiKeys.id),
    platform: text("platform").$type<ChatPlatform>().notNull(),
    /** The platform's id of the server or workspace, once the code was redeemed there. */
    placeId: text("place_id"),
    /** Of the one-time code; null once it was redeemed. */
    codeSha256: text("code_sha256"),
    codeExpiresAtMs: timeMs("code_expires_at_ms").notNull(),
    /** The channels and roles that may order; null for all. */
    channels: text("channels", { mode: "json" }).$type<readonly string[]>(),
    roles: text("roles", { mode: "json" }).$type<readonly string[]>(),
    /** What one channel and one user may order in one UTC day; null for no cap. */
    channelDailyClips: integer("channel_daily_clips"),
    channelDailyCapMicros: money("channel_daily_cap_micros"),
    userDailyClips: integer("user_daily_clips"),
    userDailyCapMicros: money("user_daily_cap_micros"),
    createdAtMs: timeMs("created_at_ms").notNull(),
    linkedAtMs: timeMs("linked_at_ms"),
    /** The platform's id of who redeemed the code. */
    linkedBy: text("linked_by"),
    unlinkedAtMs: timeMs("unlinked_at_ms"),
  },
  (t) => [
    uniqueIndex("chat_links_place").on(t.platform, t.placeId).where(sql`unlinked_at_ms is null`),
    uniqueIndex("chat_links_code").on(t.codeSha256),
    index("chat_links_account").on(t.accountId, t.id),
  ],
);

/** As daily_spend (decision 0042), of a channel or a user of a link; each row keeps the caps that it last grew by. */
export const chatSpend = sqliteTable(
  "chat_spend",
  {
    linkId: text("link_id")
      .$type<LinkId>()
      .notNull()
      .references(() => chatLinks.id),
    spender: text("spender", { enum: ["channel", "user"] }).notNull(),
    spenderId: text("spender_id").notNull(),
    utcDay: integer("utc_day").notNull(),
    clips: integer("clips").notNull(),
    spentMicros: money("spent_micros").notNull(),
    maxClips: integer("max_clips"),
    capMicros: money("cap_micros"),
  },
  (t) => [
    primaryKey({ columns: [t.linkId, t.spender, t.spenderId, t.utcDay] }),
    index("chat_spend_day").on(t.utcDay),
    check("chat_channel_clips", sql`${t.spender} <> 'channel' or ${t.maxClips} is null or ${t.clips} <= ${t.maxClips}`),
    check("chat_user_clips", sql`${t.spender} <> 'user' or ${t.maxClips} is null or ${t.clips} <= ${t.maxClips}`),
    check(
      "chat_channel_cap",
      sql`${t.spender} <> 'channel' or ${t.capMicros} is null or ${t.spentMicros} <= ${t.capMicros}`,
    ),
    check("chat_user_cap", sql`${t.spender} <> 'user' or ${t.capMicros} is null or ${t.spentMicros} <= ${t.capMicros}`),
  ],
);

export const REPLY_STATES = ["pending", "delivered", "failed"] as const;
/** How a reply travels: by its interaction's token, as a message to the channel, or to the user alone. */
export const REPLY_ROUTES = ["token", "channel", "direct"] as const;
export type ReplyRoute = (typeof REPLY_ROUTES)[number];
/** A clip's files where the platform takes them apart from the message: its ids of them, and whether they are in the channel. */
export interface ReplyFiles {
  readonly ids: readonly string[];
  readonly posted: boolean;
}

/**
 * What a bot owes for a clip: written with the order, made due by the trigger on clip_events (decision 0100), and kept
 * up to date by one Outbox until the clip's end is told.
 */
export const chatReplies = sqliteTable(
  "chat_replies",
  {
    /** The platform's id of the interaction. */
    id: text("id").notNull(),
    platform: text("platform").$type<ChatPlatform>().notNull(),
    lane: text("lane").$type<Lane>().notNull(),
    linkId: text("link_id")
      .$type<LinkId>()
      .notNull()
      .references(() => chatLinks.id),
    clipId: text("clip_id")
      .$type<ClipId>()
      .notNull()
      .references(() => clips.id),
    channelId: text("channel_id").notNull(),
    userId: text("user_id").notNull(),
    /** What lets us answer the interaction, sealed; null once nothing is owed. */
    token: text("token"),
    /** The token is good until then. */
    deadlineMs: timeMs("deadline_ms").notNull(),
    /** How often the token may still be used; null where the platform does not count. */
    usesLeft: integer("uses_left"),
    /** Bytes of the largest file that may be attached. */
    sizeLimit: integer("size_limit").notNull(),
    /** Null until they are uploaded, and where the platform takes them with the message. */
    files: text("files", { mode: "json" }).$type<ReplyFiles>(),
    state: text("state", { enum: REPLY_STATES }).notNull(),
    route: text("route", { enum: REPLY_ROUTES }).notNull(),
    /** When to look at it next; null until the clip's next event. */
    dueAtMs: timeMs("due_at_ms"),
    /** Grows with each sending and each event of the clip, and fences what a sending writes. */
    version: integer("version").notNull(),
    /** Failed sendings since the last that went well. */
    failures: integer("failures").notNull(),
    /** Names what the message shows now, so that nothing is sent twice. */
    shown: text("shown").notNull(),
    /** When the message was last brought up to date; null until then. */
    sentAtMs: timeMs("sent_at_ms"),
    lastError: text("last_error"),
    createdAtMs: timeMs("created_at_ms").notNull(),
  },
  (t) => [
    primaryKey({ columns: [t.platform, t.id] }),
    index("chat_replies_due").on(t.lane, t.dueAtMs).where(sql`state = 'pending'`),
    index("chat_replies_overdue").on(t.dueAtMs).where(sql`state = 'pending'`),
    index("chat_replies_clip").on(t.clipId),
    index("chat_replies_user").on(t.linkId, t.userId, t.createdAtMs),
    index("chat_replies_age").on(t.createdAtMs),
  ],
);

/** The servers and workspaces that a bot of ours was let into, where each has given it a token of its own. */
export const chatInstallations = sqliteTable(
  "chat_installations",
  {
    platform: text("platform").$type<ChatPlatform>().notNull(),
    placeId: text("place_id").notNull(),
    /** The bot's token, sealed. */
    token: text("token").notNull(),
    /** The platform's id of who let it in. */
    installedBy: text("installed_by").notNull(),
    installedAtMs: timeMs("installed_at_ms").notNull(),
  },
  (t) => [primaryKey({ columns: [t.platform, t.placeId] })],
);
