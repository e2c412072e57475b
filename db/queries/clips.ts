// Reads of clips, and the first statement of each of their transitions once they have left the queue: the only ones
// that look at the state.
import { and, asc, eq, isNull, lte, min, type SQL, sql } from "drizzle-orm";
import type { HeartbeatRequest } from "../../shared/contract/runner.ts";
import type { AccountId, ClipId, RunnerId } from "../../shared/ids.ts";
import type { Database } from "../database.ts";
import { clips, type OutputRecords } from "../schema.ts";
import type { Statement } from "./transitions.ts";

export type ClipRow = typeof clips.$inferSelect;

// Literals, not parameters: only then can SQLite prove that an index on these states covers the query.
/** An attempt is under way and a lease token fences it. */
const IS_HELD = sql`${clips.state} in ('leased', 'running')`;
const IS_LIVE = sql`${clips.state} in ('queued', 'leased', 'running')`;

export async function findClip(db: Database, id: ClipId): Promise<ClipRow | undefined> {
  return await db.select().from(clips).where(eq(clips.id, id)).get();
}

/** Undefined to anyone but its owner, and once it is deleted, just as if it were absent. */
export async function findClipOf(db: Database, accountId: AccountId, id: ClipId): Promise<ClipRow | undefined> {
  return await db
    .select()
    .from(clips)
    .where(and(eq(clips.id, id), eq(clips.accountId, accountId), isNull(clips.deletedAtMs)))
    .get();
}

/** The clip whose current (or, once ended, last) attempt the token names, if it is this runner's. */
export async function findClipByLease(db: Database, token: string, runnerId: RunnerId): Promise<ClipRow | undefined> {
  return await db
    .select()
    .from(clips)
    .where(and(eq(clips.leaseToken, token), eq(clips.runnerId, runnerId)))
    .get();
}

/** The clip that this nonce has already claimed; a claim that was taken back no longer counts. */
export async function findClipByNonce(db: Database, runnerId: RunnerId, nonce: string): Promise<ClipRow | undefined> {
  return await db
    .select()
    .from(clips)
    .where(and(eq(clips.runnerId, runnerId), eq(clips.pollNonce, nonce)))
    .get();
}

/** Attempts whose time is up, the longest overdue first. */
export async function findOverdue(db: Database, nowMs: number, limit: number): Promise<ClipRow[]> {
  return await db
    .select()
    .from(clips)
    .where(and(IS_HELD, lte(clips.leaseUntilMs, nowMs)))
    .orderBy(asc(clips.leaseUntilMs))
    .limit(limit);
}

/** When the next attempt's time is up, or null when none is under way. */
export async function findNextDeadline(db: Database): Promise<number | null> {
  const row = await db
    .select({ at: min(clips.leaseUntilMs) })
    .from(clips)
    .where(IS_HELD)
    .get();
  return row?.at ?? null;
}

export interface LeaseExtension {
  readonly untilMs: number;
  readonly progress: HeartbeatRequest;
  readonly progressAtMs: number;
}

function extension(lease: LeaseExtension) {
  return { leaseUntilMs: lease.untilMs, progress: lease.progress, progressAtMs: lease.progressAtMs };
}

/** The first heartbeat of an attempt. `started_at` stays that of the first attempt. */
export function startRunning(db: Database, token: string, lease: LeaseExtension, atMs: number): Statement {
  return db
    .update(clips)
    .set({ ...extension(lease), state: "running", startedAtMs: sql`coalesce(${clips.startedAtMs}, ${atMs})` })
    .where(and(eq(clips.leaseToken, token), eq(clips.state, "leased")));
}

/**
 * No transition, so no event. `sighting` notes in the same batch that the runner lives. False when the clip is no
 * longer as it was read: its attempt is over, or another heartbeat has extended it since. A late one must neither
 * shorten the lease nor take progress back.
 */
export async function extendLease(
  db: Database,
  read: { readonly leaseToken: string; readonly leaseUntilMs: number },
  lease: LeaseExtension,
  sighting: Statement,
): Promise<boolean> {
  const isAsRead = and(eq(clips.leaseToken, read.leaseToken), eq(clips.leaseUntilMs, read.leaseUntilMs));
  const extended = db
    .update(clips)
    .set(extension(lease))
    .where(and(isAsRead, eq(clips.state, "running")));
  const [result] = await db.batch([extended, sighting]);
  return result.meta.changes === 1;
}

function attemptIs(token: string, overdueAtMs: number | null): SQL | undefined {
  return and(
    eq(clips.leaseToken, token),
    IS_HELD,
    overdueAtMs === null ? undefined : lte(clips.leaseUntilMs, overdueAtMs),
  );
}

export interface AttemptEnd {
  readonly token: string;
  /** Set when time is the reason: the attempt must still be overdue at this moment. */
  readonly overdueAtMs: number | null;
}

export interface Requeue {
  readonly handedBack: 0 | 1;
  /** A clip that had started has met its deadline; it now waits for its next attempt until then. */
  readonly startedExpiresAtMs: number;
}

/** Back into the queue, in its old place: its turn stays. */
export function requeue(db: Database, end: AttemptEnd, { handedBack, startedExpiresAtMs }: Requeue): Statement {
  return db
    .update(clips)
    .set({
      state: "queued",
      handedBack: sql`${clips.handedBack} + ${handedBack}`,
      leaseToken: null,
      leaseUntilMs: null,
      runnerId: null,
      pollNonce: null,
      progress: null,
      progressAtMs: null,
      expiresAtMs: sql`case when ${clips.startedAtMs} is null then ${clips.expiresAtMs}
        else max(${clips.expiresAtMs}, ${startedExpiresAtMs}) end`,
    })
    .where(attemptIs(end.token, end.overdueAtMs));
}

export interface ClipError {
  readonly code: string;
  readonly message: string;
}

export function fail(db: Database, end: AttemptEnd, error: ClipError, atMs: number): Statement {
  return db
    .update(clips)
    .set({ state: "failed", errorCode: error.code, errorMessage: error.message, finishedAtMs: atMs })
    .where(attemptIs(end.token, end.overdueAtMs));
}

export interface ClipResult {
  readonly outputs: OutputRecords;
  readonly outputExpiresAtMs: number;
  readonly timings: NonNullable<ClipRow["timings"]>;
  readonly engine: string;
  readonly modelVersion: string | null;
  readonly finishedAtMs: number;
}

/** The token is the fence, not the time: work that arrives late but before its attempt was taken back counts. */
export function succeed(db: Database, token: string, result: ClipResult): Statement {
  return db
    .update(clips)
    .set({ state: "succeeded", ...result })
    .where(attemptIs(token, null));
}

/** The lease token stays, so that the attempt's next heartbeat learns of it. */
export function cancel(db: Database, accountId: AccountId, id: ClipId, atMs: number): Statement {
  return db
    .update(clips)
    .set({ state: "cancelled", finishedAtMs: atMs })
    .where(and(eq(clips.id, id), eq(clips.accountId, accountId), IS_LIVE));
}
