// Messages, their deliveries by lane, and the log of attempts.
import { and, asc, desc, eq, inArray, lt, lte, min, type SQL, sql } from "drizzle-orm";
import type { WebhookEventType } from "../../../shared/contract/webhooks.ts";
import type { AccountId, ClipId, EventId } from "../../../shared/ids.ts";
import type { Database } from "../../database.ts";
import { type Lane, webhookAttempts, webhookDeliveries, webhookEndpoints, webhookMessages } from "../../schema.ts";
import type { Statement } from "../transitions.ts";
import { type EndpointRow, selectEndpointByLane } from "./endpoints.ts";
import { ownerOf, type SecretRow, selectSecrets } from "./secrets.ts";

// A literal, not a parameter: only then can SQLite prove that an index on this state covers the query.
const IS_PENDING = sql`${webhookDeliveries.state} = 'pending'`;

export type DeliveryRow = typeof webhookDeliveries.$inferSelect;
export type AttemptLogRow = typeof webhookAttempts.$inferSelect;
export type DueDelivery = DeliveryRow & { readonly payload: string };

const withPayload = {
  messageId: webhookDeliveries.messageId,
  lane: webhookDeliveries.lane,
  accountId: webhookDeliveries.accountId,
  url: webhookDeliveries.url,
  state: webhookDeliveries.state,
  attempts: webhookDeliveries.attempts,
  replayedAfter: webhookDeliveries.replayedAfter,
  nextAttemptAtMs: webhookDeliveries.nextAttemptAtMs,
  lastStatus: webhookDeliveries.lastStatus,
  lastError: webhookDeliveries.lastError,
  payload: webhookMessages.payload,
};

/** The longest due first. */
const selectDue = (db: Database, lane: Lane, nowMs: number, limit: number) =>
  db
    .select(withPayload)
    .from(webhookDeliveries)
    .innerJoin(webhookMessages, eq(webhookMessages.id, webhookDeliveries.messageId))
    .where(and(eq(webhookDeliveries.lane, lane), IS_PENDING, lte(webhookDeliveries.nextAttemptAtMs, nowMs)))
    .orderBy(asc(webhookDeliveries.nextAttemptAtMs), asc(webhookDeliveries.messageId))
    .limit(limit);

export interface DueLane {
  readonly due: readonly DueDelivery[];
  /** Undefined for the URL of a clip. */
  readonly endpoint: EndpointRow | undefined;
  readonly secrets: readonly SecretRow[];
}

/**
 * What is due on a lane, to whom, and what signs it, as of one moment: an endpoint that is deleted between two reads
 * would leave its deliveries to another owner's secrets.
 */
export async function findDue(db: Database, lane: Lane, nowMs: number, limit: number): Promise<DueLane> {
  const [due, [endpoint], secrets] = await db.batch([
    selectDue(db, lane, nowMs, limit),
    selectEndpointByLane(db, lane),
    selectSecrets(db, ownerOf(lane), nowMs),
  ]);
  return { due, endpoint, secrets };
}

/** When the next delivery of the lane, or of any lane, is due; null when none waits. */
export async function findNextDue(db: Database, lane: Lane | null): Promise<number | null> {
  const row = await db
    .select({ at: min(webhookDeliveries.nextAttemptAtMs) })
    .from(webhookDeliveries)
    .where(lane === null ? IS_PENDING : and(IS_PENDING, eq(webhookDeliveries.lane, lane)))
    .get();
  return row?.at ?? null;
}

export async function findDueLanes(db: Database, nowMs: number, limit: number): Promise<Lane[]> {
  const rows = await db
    .selectDistinct({ lane: webhookDeliveries.lane })
    .from(webhookDeliveries)
    .where(and(IS_PENDING, lte(webhookDeliveries.nextAttemptAtMs, nowMs)))
    .limit(limit);
  return rows.map(({ lane }) => lane);
}

/** Lanes on which one of these messages waits. */
export async function findLanesOf(db: Database, messages: readonly EventId[]): Promise<Lane[]> {
  const rows = await db
    .selectDistinct({ lane: webhookDeliveries.lane })
    .from(webhookDeliveries)
    .where(and(inArray(webhookDeliveries.messageId, [...messages]), IS_PENDING));
  return rows.map(({ lane }) => lane);
}

export interface AttemptResult extends Omit<AttemptLogRow, "attempt"> {
  /** Until then the receiver asked to be left alone; null where it did not. */
  readonly holdUntilMs: number | null;
  /** The delivery must still stand here, or another Outbox has gone on, or somebody asked for a replay. */
  readonly before: Pick<DeliveryRow, "attempts" | "replayedAfter">;
  readonly state: DeliveryRow["state"];
  readonly nextAttemptAtMs: number;
}

/** The attempt's line in the log, and what it makes of its delivery; neither if the delivery has gone on without it. */
export function recordAttempt(db: Database, result: AttemptResult): [Statement, Statement] {
  const { messageId, lane, before, state, nextAttemptAtMs, atMs, durationMs, status, error, answer } = result;
  const isAsRead = and(
    eq(webhookDeliveries.messageId, messageId),
    eq(webhookDeliveries.lane, lane),
    eq(webhookDeliveries.attempts, before.attempts),
    eq(webhookDeliveries.replayedAfter, before.replayedAfter),
    IS_PENDING,
  );
  return [
    db.insert(webhookAttempts).select(sql`
      select ${messageId}, ${lane}, ${before.attempts + 1}, ${atMs}, ${durationMs}, ${status}, ${error}, ${answer}
      from ${webhookDeliveries} where ${isAsRead}`),
    db
      .update(webhookDeliveries)
      .set({ state, attempts: before.attempts + 1, nextAttemptAtMs, lastStatus: status, lastError: error })
      .where(isAsRead),
  ];
}

/** What waits on the lane is not sent before that time either. */
export function holdLane(db: Database, lane: Lane, untilMs: number): Statement {
  return db
    .update(webhookDeliveries)
    .set({ nextAttemptAtMs: untilMs })
    .where(and(eq(webhookDeliveries.lane, lane), IS_PENDING, lt(webhookDeliveries.nextAttemptAtMs, untilMs)));
}

export interface NewMessage {
  readonly id: EventId;
  readonly accountId: AccountId;
  readonly type: WebhookEventType;
  readonly payload: string;
  readonly atMs: number;
}

/** A message that is not a clip's; written only if the guard holds, and told to the endpoints that `to` names. */
export function insertMessage(db: Database, message: NewMessage, guard: SQL, to: SQL): [Statement, Statement] {
  const { id, accountId, type, payload, atMs } = message;
  return [
    db
      .insert(webhookMessages)
      .select(sql`select ${id}, ${accountId}, null, ${type}, ${payload}, ${atMs} where ${guard}`),
    db.insert(webhookDeliveries).select(sql`
      select ${webhookMessages.id}, ${webhookEndpoints.id}, ${webhookMessages.accountId}, ${webhookEndpoints.url},
        'pending', 0, 0, ${atMs}, null, null
      from ${webhookMessages} join ${webhookEndpoints}
        on ${webhookEndpoints.accountId} = ${webhookMessages.accountId} and ${webhookEndpoints.disabledAtMs} is null
      where ${webhookMessages.id} = ${id} and ${to}`),
  ];
}

/** Endpoints that want messages of this type. */
export function wants(type: WebhookEventType): SQL {
  return sql`(${webhookEndpoints.events} is null
    or exists (select 1 from json_each(${webhookEndpoints.events}) where value = ${type}))`;
}

export interface ListedDelivery extends DeliveryRow {
  readonly type: WebhookEventType;
  readonly clipId: ClipId | null;
  readonly createdAtMs: number;
}

export interface DeliveryCursor {
  readonly messageId: string;
  readonly lane: string;
}

/** Newest first. */
export async function findDeliveries(
  db: Database,
  accountId: AccountId,
  state: DeliveryRow["state"] | null,
  after: DeliveryCursor | null,
  limit: number,
): Promise<ListedDelivery[]> {
  const { payload: _, ...columns } = withPayload;
  return await db
    .select({
      ...columns,
      type: webhookMessages.type,
      clipId: webhookMessages.clipId,
      createdAtMs: webhookMessages.createdAtMs,
    })
    .from(webhookDeliveries)
    .innerJoin(webhookMessages, eq(webhookMessages.id, webhookDeliveries.messageId))
    .where(
      and(
        eq(webhookDeliveries.accountId, accountId),
        state === null ? undefined : eq(webhookDeliveries.state, state),
        after === null
          ? undefined
          : sql`(${webhookDeliveries.messageId}, ${webhookDeliveries.lane}) < (${after.messageId}, ${after.lane})`,
      ),
    )
    .orderBy(desc(webhookDeliveries.messageId), desc(webhookDeliveries.lane))
    .limit(limit);
}

/** Of a message of this account, in the order in which they were made. */
export async function findAttempts(
  db: Database,
  accountId: AccountId,
  messageId: EventId,
  limit: number,
): Promise<AttemptLogRow[]> {
  const owned = sql`exists (select 1 from ${webhookMessages}
    where ${webhookMessages.id} = ${messageId} and ${webhookMessages.accountId} = ${accountId})`;
  return await db
    .select()
    .from(webhookAttempts)
    .where(and(eq(webhookAttempts.messageId, messageId), owned))
    .orderBy(desc(webhookAttempts.atMs), desc(webhookAttempts.attempt))
    .limit(limit);
}

export async function hasMessage(db: Database, accountId: AccountId, id: EventId): Promise<boolean> {
  const row = await db
    .select({ id: webhookMessages.id })
    .from(webhookMessages)
    .where(and(eq(webhookMessages.id, id), eq(webhookMessages.accountId, accountId)))
    .get();
  return row !== undefined;
}

/**
 * All that does not wait is to be told again, except to endpoints that are disabled or gone, and nothing of what was
 * erased. How many that are.
 */
export async function replayDeliveries(
  db: Database,
  accountId: AccountId,
  messageId: EventId,
  atMs: number,
): Promise<number> {
  const reachable = sql`(${webhookDeliveries.lane} like '%@%' or exists (select 1 from ${webhookEndpoints}
    where ${webhookEndpoints.id} = ${webhookDeliveries.lane} and ${webhookEndpoints.disabledAtMs} is null))`;
  const isThere = sql`exists (select 1 from ${webhookMessages}
    where ${webhookMessages.id} = ${messageId} and ${webhookMessages.payload} <> '')`;
  const { meta } = await db
    .update(webhookDeliveries)
    .set({ state: "pending", replayedAfter: sql`${webhookDeliveries.attempts}`, nextAttemptAtMs: atMs })
    .where(
      and(
        eq(webhookDeliveries.messageId, messageId),
        eq(webhookDeliveries.accountId, accountId),
        sql`${webhookDeliveries.state} <> 'pending'`,
        reachable,
        isThere,
      ),
    );
  return meta.changes;
}
