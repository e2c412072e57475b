// Endpoints of accounts. One that goes or is disabled takes its waiting deliveries with it: they are listed as exhausted
// in the same batch, and can be replayed.
import { and, asc, eq, isNull, sql } from "drizzle-orm";
import type { AccountId, EndpointId } from "../../../shared/ids.ts";
import type { Database } from "../../database.ts";
import { type Lane, webhookDeliveries, webhookEndpoints } from "../../schema.ts";
import type { Statement } from "../transitions.ts";

export type EndpointRow = typeof webhookEndpoints.$inferSelect;
export type DisabledReason = NonNullable<EndpointRow["disabledReason"]>;

const isOf = (accountId: AccountId, id: EndpointId) =>
  and(eq(webhookEndpoints.id, id), eq(webhookEndpoints.accountId, accountId));

/** Nothing is inserted when the account has that many. */
export function insertEndpoint(db: Database, row: EndpointRow, most: number): Statement {
  const { id, accountId, url, events, createdAtMs } = row;
  const wanted = events === null ? null : JSON.stringify(events);
  return db.insert(webhookEndpoints).select(sql`
    select ${id}, ${accountId}, ${url}, ${wanted}, null, null, null, ${createdAtMs}
    where (select count(*) from ${webhookEndpoints} where ${webhookEndpoints.accountId} = ${accountId}) < ${most}`);
}

export async function findEndpoints(db: Database, accountId: AccountId): Promise<EndpointRow[]> {
  return await db
    .select()
    .from(webhookEndpoints)
    .where(eq(webhookEndpoints.accountId, accountId))
    .orderBy(asc(webhookEndpoints.id));
}

export async function findEndpoint(
  db: Database,
  accountId: AccountId,
  id: EndpointId,
): Promise<EndpointRow | undefined> {
  return await db.select().from(webhookEndpoints).where(isOf(accountId, id)).get();
}

export const selectEndpointByLane = (db: Database, lane: Lane) =>
  db
    .select()
    .from(webhookEndpoints)
    .where(eq(sql`${webhookEndpoints.id}`, lane))
    .limit(1);

export function updateEndpoint(
  db: Database,
  accountId: AccountId,
  id: EndpointId,
  set: Partial<Pick<EndpointRow, "url" | "events">>,
): Statement[] {
  const update = db.update(webhookEndpoints).set(set).where(isOf(accountId, id));
  if (set.url === undefined) return [update];
  const waiting = and(sql`${webhookDeliveries.lane} = ${id}`, sql`${webhookDeliveries.state} = 'pending'`);
  return [update, db.update(webhookDeliveries).set({ url: set.url }).where(waiting)];
}

export function enableEndpoint(db: Database, accountId: AccountId, id: EndpointId): Statement {
  const set = { disabledReason: null, disabledAtMs: null, failingSinceMs: null };
  return db.update(webhookEndpoints).set(set).where(isOf(accountId, id));
}

/** changes() is 1 right after it if it was enabled. */
export function disableEndpoint(db: Database, lane: Lane, reason: DisabledReason, atMs: number): Statement {
  return db
    .update(webhookEndpoints)
    .set({ disabledReason: reason, disabledAtMs: atMs })
    .where(and(eq(sql`${webhookEndpoints.id}`, lane), isNull(webhookEndpoints.disabledAtMs)));
}

/** Deliveries that wait for an endpoint that is disabled or gone by now. */
export function exhaustWaiting(db: Database, lane: Lane, error: string): Statement {
  const enabled = sql`exists (select 1 from ${webhookEndpoints} where ${webhookEndpoints.id} = ${lane}
    and ${webhookEndpoints.disabledAtMs} is null)`;
  return db
    .update(webhookDeliveries)
    .set({ state: "exhausted", lastError: error })
    .where(and(eq(webhookDeliveries.lane, lane), sql`${webhookDeliveries.state} = 'pending'`, sql`not ${enabled}`));
}

/** Null once something is delivered; else since when nothing is. */
export function noteHealth(db: Database, lane: Lane, failingSinceMs: number | null): Statement {
  const since = failingSinceMs === null ? null : sql`coalesce(${webhookEndpoints.failingSinceMs}, ${failingSinceMs})`;
  return db
    .update(webhookEndpoints)
    .set({ failingSinceMs: since })
    .where(eq(sql`${webhookEndpoints.id}`, lane));
}

export function deleteEndpoint(db: Database, accountId: AccountId, id: EndpointId): Statement {
  return db.delete(webhookEndpoints).where(isOf(accountId, id));
}
