// Triggers and the URLs that open them.
import { and, asc, eq, inArray, lte, or, sql } from "drizzle-orm";
import type { AccountId, TriggerId } from "../../../shared/ids.ts";
import { type Database, violatedConstraint } from "../../database.ts";
import { apiKeys, triggerDays, triggerDeliveries, triggers, triggerUrls } from "../../schema.ts";
import type { ApiKeyRow } from "../keys.ts";
import type { Statement } from "../transitions.ts";
import { dropSecrets } from "../webhooks/secrets.ts";

export type TriggerRow = typeof triggers.$inferSelect;
export type NewUrl = Pick<typeof triggerUrls.$inferSelect, "sha256" | "createdAtMs">;
export type KnownUrl = Pick<typeof triggerUrls.$inferSelect, "sha256" | "expiresAtMs">;

const isOf = (accountId: AccountId, id: TriggerId) => and(eq(triggers.id, id), eq(triggers.accountId, accountId));

/** False, and nothing is written, where the account has `most` already: the name is NULL then. */
export async function insertTrigger(
  db: Database,
  row: TriggerRow,
  sha256: string,
  rest: readonly Statement[],
  most: number,
): Promise<boolean> {
  const { id, accountId, createdAtMs } = row;
  const had = sql`(select count(*) from ${triggers} where ${triggers.accountId} = ${accountId})`;
  const name = sql`case when ${had} < ${most} then ${row.name} end`;
  try {
    await db.batch([
      db.insert(triggers).values({ ...row, name }),
      db.insert(triggerUrls).values({ sha256, triggerId: id, createdAtMs }),
      ...rest,
    ]);
  } catch (error) {
    if (violatedConstraint(error) === "triggers.name") return false;
    throw error;
  }
  return true;
}

export async function findTriggers(db: Database, accountId: AccountId): Promise<TriggerRow[]> {
  return await db.select().from(triggers).where(eq(triggers.accountId, accountId)).orderBy(asc(triggers.id));
}

export async function findTrigger(db: Database, accountId: AccountId, id: TriggerId): Promise<TriggerRow | undefined> {
  return await db.select().from(triggers).where(isOf(accountId, id)).get();
}

/** The trigger with its key and all its URLs, those that have ended included; undefined if there is none. */
export async function findOpenableTrigger(
  db: Database,
  id: TriggerId,
): Promise<{ readonly trigger: TriggerRow; readonly key: ApiKeyRow; readonly urls: readonly KnownUrl[] } | undefined> {
  const { sha256, expiresAtMs } = triggerUrls;
  const rows = await db
    .select({ trigger: triggers, key: apiKeys, url: { sha256, expiresAtMs } })
    .from(triggers)
    .innerJoin(apiKeys, eq(apiKeys.id, triggers.keyId))
    .innerJoin(triggerUrls, eq(triggerUrls.triggerId, triggers.id))
    .where(eq(triggers.id, id));
  const [first] = rows;
  return first === undefined ? undefined : { ...first, urls: rows.map(({ url }) => url) };
}

export type TriggerChange = Partial<
  Pick<
    TriggerRow,
    | "name"
    | "prompt"
    | "metadata"
    | "conditions"
    | "clip"
    | "dailyClips"
    | "dailyCapMicros"
    | "signature"
    | "disabledAtMs"
  >
>;

export function updateTrigger(db: Database, accountId: AccountId, id: TriggerId, change: TriggerChange): Statement {
  return db.update(triggers).set(change).where(isOf(accountId, id));
}

export interface UrlRotation {
  readonly url: NewUrl;
  /** When the URLs so far end, unless they end sooner. */
  readonly oldUntilMs: number;
  /** Good at once: the oldest beyond that end at once. */
  readonly maxUrls: number;
}

/** Of a trigger that is there; should it be deleted meanwhile, the reference aborts the batch. */
export async function rotateTriggerUrl(db: Database, id: TriggerId, rotation: UrlRotation): Promise<void> {
  const { url, oldUntilMs, maxUrls } = rotation;
  const mine = eq(triggerUrls.triggerId, id);
  const newest = db
    .select({ sha256: triggerUrls.sha256 })
    .from(triggerUrls)
    .where(mine)
    .orderBy(sql`${triggerUrls.createdAtMs} desc, rowid desc`)
    .limit(maxUrls);
  await db.batch([
    db
      .update(triggerUrls)
      .set({ expiresAtMs: sql`min(coalesce(${triggerUrls.expiresAtMs}, ${oldUntilMs}), ${oldUntilMs})` })
      .where(mine),
    db.insert(triggerUrls).values({ ...url, triggerId: id }),
    db
      .delete(triggerUrls)
      .where(
        and(mine, or(lte(triggerUrls.expiresAtMs, url.createdAtMs), sql`not (${inArray(triggerUrls.sha256, newest)})`)),
      ),
  ]);
}

/** With all that is the trigger's own. The clips that it ordered stay. */
export async function deleteTrigger(db: Database, id: TriggerId): Promise<void> {
  await db.batch([
    db.delete(triggerUrls).where(eq(triggerUrls.triggerId, id)),
    db.delete(triggerDeliveries).where(eq(triggerDeliveries.triggerId, id)),
    db.delete(triggerDays).where(eq(triggerDays.triggerId, id)),
    dropSecrets(db, id),
    db.delete(triggers).where(eq(triggers.id, id)),
  ]);
}
