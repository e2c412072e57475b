// The queue: in which order clips are taken, by one statement and on an index, and what becomes of those that nobody
// takes.
//
// Within a model, clips are taken by their turn, a finish tag of self-clocked fair queueing (Golestani 1994): a clip's
// turn is its cost after the later of its flow's last waiting clip and the model's clock, the turn that was last taken.
// A flow is an account's clips of one model and priority, so a flow is first in, first out, and accounts share a model
// by cost however much each has queued. Low priority counts its cost ten times: it yields to normal clips that are
// ordered within that distance, and gets a tenth of the share under any load.
//
// Between the models of a runner, the head whose flow has waited longest goes first, with a handicap for a model that
// is not loaded and one for low priority.
import { and, asc, eq, gt, inArray, lte, min, type SQL, sql } from "drizzle-orm";
import type { ClipId, RunnerId } from "../../shared/ids.ts";
import type { Database } from "../database.ts";
import { clips, flows } from "../schema.ts";
import type { ClipError } from "./clips.ts";
import { type Statement, type Transition, tookPlace } from "./transitions.ts";

// A literal, not a parameter: only then can SQLite prove that an index on this state covers the query.
const IS_QUEUED = sql`${clips.state} = 'queued'`;

/** How much more a clip of low priority costs its flow: the share that is left to it is one in ten. */
const LOW_PRIORITY_COST = 10;

export type NewClip = Omit<typeof clips.$inferInsert, "state" | "attempt" | "handedBack" | "turn">;
type Flow = Pick<NewClip, "accountId" | "model" | "priority">;

/** Whose turn it would be: its cost after the later of its flow's last waiting clip and the model's clock. */
function turnOf(clip: Flow & Pick<NewClip, "priceMicros">): SQL<number> {
  const cost = clip.priceMicros * (clip.priority === "low" ? LOW_PRIORITY_COST : 1);
  const clock = sql`coalesce((select max(${flows.turn}) from ${flows} where ${flows.model} = ${clip.model}), 0)`;
  const last = sql`coalesce((select max(${clips.turn}) from ${clips} where ${IS_QUEUED}
    and ${clips.accountId} = ${clip.accountId} and ${clips.model} = ${clip.model}
    and ${clips.priority} = ${clip.priority}), 0)`;
  return sql`max(${clock}, ${last}) + ${cost}`;
}

export function insertQueued(db: Database, clip: NewClip): Statement {
  return db.insert(clips).values({ ...clip, state: "queued", attempt: 0, handedBack: 0, turn: turnOf(clip) });
}

/** The turn that a clip would get if it were ordered now. */
export async function findNextTurn(db: Database, clip: Flow & Pick<NewClip, "priceMicros">): Promise<number> {
  const row = await db.get<{ turn: number }>(sql`select ${turnOf(clip)} as turn`);
  return row.turn;
}

function isClaimable(models: readonly string[], nowMs: number): SQL | undefined {
  return and(IS_QUEUED, inArray(clips.model, [...models]), gt(clips.expiresAtMs, nowMs));
}

export async function anyQueued(db: Database, models: readonly string[], nowMs: number): Promise<boolean> {
  const row = await db.select({ id: clips.id }).from(clips).where(isClaimable(models, nowMs)).limit(1).get();
  return row !== undefined;
}

/** What a poll can take. */
export interface Wanted {
  readonly models: readonly string[];
  readonly loadedModel: string | null;
  /** How much longer a clip must have waited to be worth loading its model, or to go first despite its priority. */
  readonly handicapMs: number;
}

export interface NewLease {
  readonly runnerId: RunnerId;
  readonly nonce: string;
  readonly token: string;
  readonly untilMs: number;
  readonly atMs: number;
}

/**
 * Leases the clip whose turn it is. It is chosen inside the statement, so that pollers never race for one clip while
 * another waits: the head of each model by the index, then the best of these few. A nonce that has a claim gets no
 * second one, a drained runner none at all.
 */
export function leaseNext(db: Database, wanted: Wanted, lease: NewLease): Statement {
  const next = sql`
    select head.id from json_each(${JSON.stringify(wanted.models)}) as offered
      join clips as head on head.id = (
        select waiting.id from clips as waiting
        where waiting.state = 'queued' and waiting.model = offered.value and waiting.expires_at_ms > ${lease.atMs}
        order by waiting.turn, waiting.id limit 1)
      left join flows as flow on flow.account_id = head.account_id and flow.model = head.model
        and flow.priority = head.priority
    order by max(head.created_at_ms, coalesce(flow.taken_at_ms, 0))
        + iif(head.model is ${wanted.loadedModel}, 0, ${wanted.handicapMs})
        + iif(head.priority = 'low', ${wanted.handicapMs}, 0),
      head.id
    limit 1`;
  const claimed = sql`exists (select 1 from clips as claimed
    where claimed.runner_id = ${lease.runnerId} and claimed.poll_nonce = ${lease.nonce})`;
  const drained = sql`exists (select 1 from runners as drained
    where drained.id = ${lease.runnerId} and drained.drained_since_ms is not null)`;
  return db
    .update(clips)
    .set({
      state: "leased",
      attempt: sql`${clips.attempt} + 1`,
      leaseToken: lease.token,
      leaseUntilMs: lease.untilMs,
      runnerId: lease.runnerId,
      pollNonce: lease.nonce,
      progress: null,
      progressAtMs: lease.atMs,
    })
    .where(and(eq(clips.id, sql`(${next})`), IS_QUEUED, sql`not ${claimed}`, sql`not ${drained}`));
}

/** A later statement of the claim: its flow was served, and the model's clock stands at its turn. */
export function advanceFlow(db: Database, transition: Transition): Statement {
  return db
    .insert(flows)
    .select(
      sql`select ${clips.accountId}, ${clips.model}, ${clips.priority}, ${clips.turn}, ${transition.atMs}
        from ${clips} where ${transition.clip} and ${tookPlace(transition)}`,
    )
    .onConflictDoUpdate({
      target: [flows.accountId, flows.model, flows.priority],
      set: { turn: sql`max(${flows.turn}, excluded.turn)`, takenAtMs: sql`excluded.taken_at_ms` },
    });
}

/** Queued clips whose time to be started is over, the longest overdue first. */
export async function findUnstarted(db: Database, nowMs: number, limit: number): Promise<ClipId[]> {
  const rows = await db
    .select({ id: clips.id })
    .from(clips)
    .where(and(IS_QUEUED, lte(clips.expiresAtMs, nowMs)))
    .orderBy(asc(clips.expiresAtMs))
    .limit(limit);
  return rows.map(({ id }) => id);
}

/** When the next queued clip expires, or null when none is queued. */
export async function findNextExpiry(db: Database): Promise<number | null> {
  const row = await db
    .select({ at: min(clips.expiresAtMs) })
    .from(clips)
    .where(IS_QUEUED)
    .get();
  return row?.at ?? null;
}

export function expire(db: Database, id: ClipId, error: ClipError, atMs: number): Statement {
  return db
    .update(clips)
    .set({ state: "expired", errorCode: error.code, errorMessage: error.message, finishedAtMs: atMs })
    .where(and(eq(clips.id, id), IS_QUEUED, lte(clips.expiresAtMs, atMs)));
}
