// Clips and what happened to them.
import { sql } from "drizzle-orm";
import { index, integer, primaryKey, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";
import type { HeartbeatRequest, OutputKind } from "../../shared/contract/runner.ts";
import type { AccountId, ClipId, EventId, KeyId, RunnerId, TokenId, TriggerId } from "../../shared/ids.ts";
import type { Size } from "../../shared/models.ts";
import { CLIP_STATES, PRIORITIES, type Stage } from "../../shared/states.ts";
import { accounts, apiKeys } from "./accounts.ts";
import { money, timeMs } from "./columns.ts";
import { runners } from "./runners.ts";

/** One finished file: what the runner declared (sha256) and what the bucket confirmed (all else). */
export interface OutputRecord {
  readonly key: string;
  readonly bytes: number;
  /** Base64, as in Content-MD5. */
  readonly md5: string;
  /** Lower-case hex. */
  readonly sha256: string;
  readonly etag: string;
}
/** Clips from before there were previews have none. */
export type OutputRecords = Readonly<
  Record<Exclude<OutputKind, "preview">, OutputRecord> & Partial<Record<"preview", OutputRecord>>
>;

export const clips = sqliteTable(
  "clips",
  {
    id: text("id").$type<ClipId>().primaryKey(),
    accountId: text("account_id")
      .$type<AccountId>()
      .notNull()
      .references(() => accounts.id),
    /** The API key that ordered it; null for clips from before keys were kept with them. */
    keyId: text("key_id")
      .$type<KeyId>()
      .references(() => apiKeys.id),
    /** The browser token that ordered it, which may be gone by now; null for none. */
    tokenId: text("token_id").$type<TokenId>(),
    /** The trigger that ordered it, which may be gone by now; null for none. */
    triggerId: text("trigger_id").$type<TriggerId>(),
    state: text("state", { enum: CLIP_STATES }).notNull(),
    model: text("model").notNull(),
    prompt: text("prompt").notNull(),
    size: text("size").$type<Size>().notNull(),
    frames: integer("frames").notNull(),
    steps: integer("steps").notNull(),
    sampler: text("sampler", { enum: ["sde", "ode"] }).notNull(),
    seed: integer("seed").notNull(),
    priceMicros: money("price_micros").notNull(),
    priority: text("priority", { enum: PRIORITIES }).notNull().default("normal"),
    /** Its place among the queued clips of its model: the smallest is taken first. */
    turn: integer("turn").notNull().default(0),
    /** Claims so far; it never goes back, so that (clip, attempt) names one try. */
    attempt: integer("attempt").notNull(),
    /** Claims that came back unharmed: they do not count against the maximum. */
    handedBack: integer("handed_back").notNull(),
    /** The fencing token of the current or last attempt; null while the clip waits. */
    leaseToken: text("lease_token"),
    /** When the attempt is taken back: by then the next heartbeat (first: the acknowledgement) must have come. */
    leaseUntilMs: timeMs("lease_until_ms"),
    runnerId: text("runner_id")
      .$type<RunnerId>()
      .references(() => runners.id),
    pollNonce: text("poll_nonce"),
    progress: text("progress", { mode: "json" }).$type<HeartbeatRequest>(),
    /** When the stored progress last moved on; stalling is measured from here. */
    progressAtMs: timeMs("progress_at_ms"),
    errorCode: text("error_code"),
    errorMessage: text("error_message"),
    timings: text("timings", { mode: "json" }).$type<Readonly<Partial<Record<Stage, number>>>>(),
    /** Backend and version, and which checkpoint, of the attempt that succeeded. */
    engine: text("engine"),
    modelVersion: text("model_version"),
    outputs: text("outputs", { mode: "json" }).$type<OutputRecords>(),
    outputExpiresAtMs: timeMs("output_expires_at_ms"),
    /** When its outputs were removed from the bucket. */
    outputRemovedAtMs: timeMs("output_removed_at_ms"),
    metadata: text("metadata", { mode: "json" }).$type<Readonly<Record<string, string>>>(),
    /** Told of the clip's start and end, beside the account's endpoints. */
    webhookUrl: text("webhook_url"),
    createdAtMs: timeMs("created_at_ms").notNull(),
    /** A clip that is still queued then expires. */
    expiresAtMs: timeMs("expires_at_ms").notNull().default(0),
    startedAtMs: timeMs("started_at_ms"),
    finishedAtMs: timeMs("finished_at_ms"),
    /** When its owner had it deleted: what it showed and said is erased, what it cost stays. */
    deletedAtMs: timeMs("deleted_at_ms"),
  },
  (t) => [
    uniqueIndex("clips_lease_token").on(t.leaseToken),
    uniqueIndex("clips_runner_nonce").on(t.runnerId, t.pollNonce),
    index("clips_account").on(t.accountId, t.id),
    index("clips_turn").on(t.model, t.turn, t.id).where(sql`state = 'queued'`),
    index("clips_flow").on(t.accountId, t.model, t.priority, t.turn).where(sql`state = 'queued'`),
    index("clips_succeeded").on(t.model, t.finishedAtMs).where(sql`state = 'succeeded'`),
    index("clips_expiring").on(t.expiresAtMs).where(sql`state = 'queued'`),
    index("clips_leased").on(t.leaseUntilMs).where(sql`state in ('leased', 'running')`),
  ],
);

/**
 * Attempts that have ended and may have left bytes in the bucket, and from when these are to be removed: written in
 * the transaction that ends the attempt, so nothing in the bucket is ever without either an attempt or a removal.
 */
export const outputRemovals = sqliteTable(
  "output_removals",
  {
    clipId: text("clip_id")
      .$type<ClipId>()
      .notNull()
      .references(() => clips.id),
    attempt: integer("attempt").notNull(),
    dueAtMs: timeMs("due_at_ms").notNull(),
  },
  (t) => [primaryKey({ columns: [t.clipId, t.attempt] }), index("output_removals_due").on(t.dueAtMs)],
);

/** An account's clips of one model and priority: what of them was taken last, and when. */
export const flows = sqliteTable(
  "flows",
  {
    accountId: text("account_id")
      .$type<AccountId>()
      .notNull()
      .references(() => accounts.id),
    model: text("model").notNull(),
    priority: text("priority", { enum: PRIORITIES }).notNull(),
    /** The largest turn of all that were taken. */
    turn: integer("turn").notNull(),
    takenAtMs: timeMs("taken_at_ms").notNull(),
  },
  (t) => [primaryKey({ columns: [t.accountId, t.model, t.priority] }), index("flows_clock").on(t.model, t.turn)],
);

export const CLIP_EVENTS = [
  "queued",
  "leased",
  "started",
  "lease_lost",
  "attempt_failed",
  "handed_back",
  "succeeded",
  "failed",
  "cancelled",
  "expired",
  "deleted",
] as const;
export type ClipEvent = (typeof CLIP_EVENTS)[number];

/**
 * What happened to a clip. A row is also the proof, within the transaction that wrote it, that the
 * transition took place: every later statement of the batch asks for its batch_id.
 */
export const clipEvents = sqliteTable(
  "clip_events",
  {
    id: text("id").$type<EventId>().primaryKey(),
    clipId: text("clip_id")
      .$type<ClipId>()
      .notNull()
      .references(() => clips.id),
    attempt: integer("attempt").notNull(),
    event: text("event", { enum: CLIP_EVENTS }).notNull(),
    detail: text("detail"),
    batchId: text("batch_id").notNull(),
    atMs: timeMs("at_ms").notNull(),
  },
  (t) => [uniqueIndex("clip_events_once").on(t.clipId, t.attempt, t.event), index("clip_events_batch").on(t.batchId)],
);
