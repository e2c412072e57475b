// The one source of truth: accounts and money, keys, runners, clips and their events, in one SQLite (D1)
// database so that a clip's state and its money change in one transaction. Times are integer
// milliseconds since 1970, money integer micro-dollars.
import { sql } from "drizzle-orm";
import { check, index, integer, primaryKey, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";
import type { HeartbeatRequest, OutputKind } from "../shared/contract/runner.ts";
import type { AccountId, ClipId, EventId, KeyId, RunnerId, TransactionId } from "../shared/ids.ts";
import type { Size } from "../shared/models.ts";
import type { Micros } from "../shared/pricing.ts";
import { CLIP_STATES, type Stage } from "../shared/states.ts";

const timeMs = (name: string) => integer(name);
const money = (name: string) => integer(name).$type<Micros>();

export const accounts = sqliteTable("accounts", {
  id: text("id").$type<AccountId>().primaryKey(),
  name: text("name").notNull(),
  createdAtMs: timeMs("created_at_ms").notNull(),
});

/**
 * The fold of an account's ledger, kept as a row so that one CHECK refuses an overdraft inside the
 * transaction that would make it: posted is what the account owns, pending is what holds have reserved of it.
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
  },
  (t) => [
    check("balance_covers_holds", sql`${t.postedMicros} - ${t.pendingMicros} >= 0`),
    check("balance_pending_not_negative", sql`${t.pendingMicros} >= 0`),
  ],
);

/** Only the SHA-256 of a key is kept; the shown prefix names it to people. */
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
    sha256: text("sha256").notNull(),
    createdAtMs: timeMs("created_at_ms").notNull(),
    expiresAtMs: timeMs("expires_at_ms"),
    revokedAtMs: timeMs("revoked_at_ms"),
  },
  (t) => [index("api_keys_account").on(t.accountId)],
);

export const runners = sqliteTable("runners", {
  id: text("id").$type<RunnerId>().primaryKey(),
  name: text("name").notNull(),
  tokenSha256: text("token_sha256").notNull(),
  createdAtMs: timeMs("created_at_ms").notNull(),
  lastSeenMs: timeMs("last_seen_ms"),
  models: text("models", { mode: "json" }).$type<readonly string[]>().notNull(),
  loadedModel: text("loaded_model"),
  version: text("version"),
});

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
export type OutputRecords = Readonly<Record<OutputKind, OutputRecord>>;

export const clips = sqliteTable(
  "clips",
  {
    id: text("id").$type<ClipId>().primaryKey(),
    accountId: text("account_id")
      .$type<AccountId>()
      .notNull()
      .references(() => accounts.id),
    state: text("state", { enum: CLIP_STATES }).notNull(),
    model: text("model").notNull(),
    prompt: text("prompt").notNull(),
    size: text("size").$type<Size>().notNull(),
    frames: integer("frames").notNull(),
    steps: integer("steps").notNull(),
    sampler: text("sampler", { enum: ["sde", "ode"] }).notNull(),
    seed: integer("seed").notNull(),
    priceMicros: money("price_micros").notNull(),
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
    engine: text("engine"),
    outputs: text("outputs", { mode: "json" }).$type<OutputRecords>(),
    outputExpiresAtMs: timeMs("output_expires_at_ms"),
    createdAtMs: timeMs("created_at_ms").notNull(),
    /** A clip that is still queued then expires. */
    expiresAtMs: timeMs("expires_at_ms").notNull().default(0),
    startedAtMs: timeMs("started_at_ms"),
    finishedAtMs: timeMs("finished_at_ms"),
  },
  (t) => [
    uniqueIndex("clips_lease_token").on(t.leaseToken),
    uniqueIndex("clips_runner_nonce").on(t.runnerId, t.pollNonce),
    index("clips_account").on(t.accountId, t.id),
    index("clips_queued").on(t.id, t.model).where(sql`state = 'queued'`),
    index("clips_expiring").on(t.expiresAtMs).where(sql`state = 'queued'`),
    index("clips_leased").on(t.leaseUntilMs).where(sql`state in ('leased', 'running')`),
  ],
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

export const LEDGER_KINDS = ["hold", "capture", "release", "top_up", "refund"] as const;
/** An account's own books (available, held) and the two sides of ours that they are moved against. */
export const LEDGER_BOOKS = ["available", "held", "revenue", "funding"] as const;

/** Double entry: the rows of one transaction sum to 0. Triggers refuse every update and delete. */
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

export const IDEMPOTENT_OPERATIONS = ["create_clip", "grant_credit"] as const;
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
  (t) => [primaryKey({ columns: [t.accountId, t.operation, t.key] })],
);
