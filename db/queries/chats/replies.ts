// What bots owe, by lane; the trigger on clip_events makes it due (decision 0100).
import { and, asc, desc, eq, inArray, isNotNull, lte, min, ne, type SQL, sql } from "drizzle-orm";
import type { AccountId, ClipId, EventId, LinkId } from "../../../shared/ids.ts";
import type { Database } from "../../database.ts";
import { chatLinks, chatReplies, clipEvents, type Lane } from "../../schema.ts";
import type { Statement } from "../transitions.ts";

export type ReplyRow = typeof chatReplies.$inferSelect;
export type DueReply = ReplyRow & { readonly accountId: AccountId };

// A literal, not a parameter: only then can SQLite prove that an index on this state covers the query.
const IS_PENDING = sql`${chatReplies.state} = 'pending'`;

export function insertReply(db: Database, reply: ReplyRow): Statement {
  return db.insert(chatReplies).values(reply);
}

function dueBy(nowMs: number): SQL | undefined {
  return and(IS_PENDING, lte(chatReplies.dueAtMs, nowMs));
}

/** The longest due first. */
export async function findDueReplies(db: Database, lane: Lane, nowMs: number, limit: number): Promise<DueReply[]> {
  const rows = await db
    .select({ reply: chatReplies, accountId: chatLinks.accountId })
    .from(chatReplies)
    .innerJoin(chatLinks, eq(chatLinks.id, chatReplies.linkId))
    .where(and(eq(chatReplies.lane, lane), dueBy(nowMs)))
    .orderBy(asc(chatReplies.dueAtMs), asc(chatReplies.id))
    .limit(limit);
  return rows.map(({ reply, accountId }) => ({ ...reply, accountId }));
}

/** When the next reply of the lane, or of any lane, is due; null when none is until an event. */
export async function findNextReplyDue(db: Database, lane: Lane | null): Promise<number | null> {
  const row = await db
    .select({ at: min(chatReplies.dueAtMs) })
    .from(chatReplies)
    .where(lane === null ? IS_PENDING : and(IS_PENDING, eq(chatReplies.lane, lane)))
    .get();
  return row?.at ?? null;
}

export async function findDueReplyLanes(db: Database, nowMs: number, limit: number): Promise<Lane[]> {
  const rows = await db
    .selectDistinct({ lane: chatReplies.lane })
    .from(chatReplies)
    .where(and(isNotNull(chatReplies.dueAtMs), dueBy(nowMs)))
    .limit(limit);
  return rows.map(({ lane }) => lane);
}

/** Lanes on which a reply waits that one of these events made due. */
export async function findReplyLanesOf(db: Database, events: readonly EventId[]): Promise<Lane[]> {
  const rows = await db
    .selectDistinct({ lane: chatReplies.lane })
    .from(clipEvents)
    .innerJoin(chatReplies, eq(chatReplies.clipId, clipEvents.clipId))
    .where(and(inArray(clipEvents.id, [...events]), IS_PENDING));
  return rows.map(({ lane }) => lane);
}

export type ReplyChange = Pick<
  ReplyRow,
  | "state"
  | "route"
  | "dueAtMs"
  | "failures"
  | "shown"
  | "sentAtMs"
  | "sizeLimit"
  | "files"
  | "usesLeft"
  | "lastError"
  | "token"
>;

/**
 * Writes nothing if the reply has gone on since it was read, by an event or by another Outbox, but for the uses of its
 * token: those are gone all the same.
 */
export function recordSending(db: Database, read: ReplyRow, change: ReplyChange): Statement[] {
  const { state, route, dueAtMs, failures, shown, sentAtMs, sizeLimit, files, usesLeft, lastError, token } = change;
  const changed = { state, route, dueAtMs, failures, shown, sentAtMs, sizeLimit, files, lastError, token };
  const isReply = and(eq(chatReplies.platform, read.platform), eq(chatReplies.id, read.id));
  const moved = db
    .update(chatReplies)
    .set({ ...changed, version: read.version + 1 })
    .where(and(isReply, eq(chatReplies.version, read.version), IS_PENDING));
  if (usesLeft === read.usesLeft) return [moved];
  const used = db
    .update(chatReplies)
    .set({ usesLeft: sql`min(${chatReplies.usesLeft}, ${usesLeft})` })
    .where(isReply);
  return [used, moved];
}

/** Who ordered the clip in this place, or undefined if nobody did. */
export async function findOrderer(db: Database, linkId: LinkId, clipId: ClipId): Promise<string | undefined> {
  const row = await db
    .select({ userId: chatReplies.userId })
    .from(chatReplies)
    .where(and(eq(chatReplies.linkId, linkId), eq(chatReplies.clipId, clipId)))
    .get();
  return row?.userId;
}

/** What the user ordered last in this place. */
export async function findOrderedBy(db: Database, linkId: LinkId, userId: string, limit: number): Promise<ClipId[]> {
  const rows = await db
    .select({ clipId: chatReplies.clipId })
    .from(chatReplies)
    .where(and(eq(chatReplies.linkId, linkId), eq(chatReplies.userId, userId)))
    .orderBy(desc(chatReplies.createdAtMs))
    .limit(limit);
  return rows.map(({ clipId }) => clipId);
}

/** Ended ones from then or before, the oldest first; how many that were. */
export async function dropReplies(db: Database, createdByMs: number, limit: number): Promise<number> {
  const old = db
    .select({ rowid: sql`rowid` })
    .from(chatReplies)
    .where(and(ne(chatReplies.state, "pending"), lte(chatReplies.createdAtMs, createdByMs)))
    .orderBy(asc(chatReplies.createdAtMs))
    .limit(limit);
  const { meta } = await db.delete(chatReplies).where(sql`rowid in ${old}`);
  return meta.changes;
}

export async function findOldestReply(db: Database): Promise<number | null> {
  const row = await db
    .select({ at: min(chatReplies.createdAtMs) })
    .from(chatReplies)
    .get();
  return row?.at ?? null;
}
