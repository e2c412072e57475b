// API keys and the secrets that open them.
import { and, desc, eq, gt, isNull, lt, lte, or, type SQL, sql } from "drizzle-orm";
import type { AccountId, KeyId } from "../../shared/ids.ts";
import { type Database, violatedConstraint } from "../database.ts";
import { apiKeySecrets, apiKeys } from "../schema.ts";
import { type AuditRow, recordAct, statementBeforeDidIt } from "./audit.ts";

export type ApiKeyRow = typeof apiKeys.$inferSelect;
export type NewSecret = Pick<typeof apiKeySecrets.$inferSelect, "sha256" | "createdAtMs">;
export type KnownSecret = Pick<typeof apiKeySecrets.$inferSelect, "sha256" | "expiresAtMs">;

function isActive(nowMs: number): SQL | undefined {
  return and(isNull(apiKeys.revokedAtMs), or(isNull(apiKeys.expiresAtMs), gt(apiKeys.expiresAtMs, nowMs)));
}

/**
 * False, and nothing is written, where the account has `maxActive` active keys already. The guard stands in the VALUES, as
 * a name that is NULL then: an insert by SELECT would have SQLite plan a search of every table that refers to keys.
 */
export async function insertApiKey(
  db: Database,
  key: ApiKeyRow,
  sha256: string,
  maxActive: number,
  act: AuditRow,
): Promise<boolean> {
  const { id, createdAtMs } = key;
  const active = sql`(select count(*) from ${apiKeys} where ${apiKeys.accountId} = ${key.accountId}
    and ${isActive(createdAtMs)})`;
  const name = sql`case when ${active} < ${maxActive} then ${key.name} end`;
  try {
    await db.batch([
      db.insert(apiKeys).values({ ...key, name }),
      db.insert(apiKeySecrets).values({ sha256, keyId: id, createdAtMs }),
      recordAct(db, act),
    ]);
  } catch (error) {
    if (violatedConstraint(error) === "api_keys.name") return false;
    throw error;
  }
  return true;
}

export async function findApiKey(db: Database, id: KeyId): Promise<ApiKeyRow | undefined> {
  return await db.select().from(apiKeys).where(eq(apiKeys.id, id)).get();
}

/** The key with all its secrets, those that have ended included; undefined if there is none. */
export async function findOpenable(
  db: Database,
  id: KeyId,
): Promise<{ readonly key: ApiKeyRow; readonly secrets: readonly KnownSecret[] } | undefined> {
  const { sha256, expiresAtMs } = apiKeySecrets;
  const rows = await db
    .select({ key: apiKeys, secret: { sha256, expiresAtMs } })
    .from(apiKeys)
    .innerJoin(apiKeySecrets, eq(apiKeySecrets.keyId, apiKeys.id))
    .where(eq(apiKeys.id, id));
  const [first] = rows;
  return first === undefined ? undefined : { key: first.key, secrets: rows.map(({ secret }) => secret) };
}

/** Newest first. */
export async function findApiKeys(
  db: Database,
  accountId: AccountId,
  after: KeyId | null,
  limit: number,
): Promise<ApiKeyRow[]> {
  return await db
    .select()
    .from(apiKeys)
    .where(and(eq(apiKeys.accountId, accountId), after === null ? undefined : lt(apiKeys.id, after)))
    .orderBy(desc(apiKeys.id))
    .limit(limit);
}

export type KeyChange = Partial<Pick<ApiKeyRow, "name" | "scopes" | "dailyCapMicros">>;

/** The key as it then is; undefined if there is none, or if it is no longer active. */
export async function changeApiKey(
  db: Database,
  id: KeyId,
  change: KeyChange,
  nowMs: number,
  act: AuditRow,
): Promise<ApiKeyRow | undefined> {
  if (Object.keys(change).length === 0) return await findApiKey(db, id);
  const changed = db
    .update(apiKeys)
    .set(change)
    .where(and(eq(apiKeys.id, id), isActive(nowMs)))
    .returning();
  const [rows] = await db.batch([changed, recordAct(db, act, statementBeforeDidIt)]);
  return rows[0];
}

/** A key that is already revoked keeps the time at which it was. */
export async function revokeApiKey(db: Database, id: KeyId, atMs: number, act: AuditRow): Promise<void> {
  const revoked = db
    .update(apiKeys)
    .set({ revokedAtMs: atMs })
    .where(and(eq(apiKeys.id, id), isNull(apiKeys.revokedAtMs)));
  await db.batch([revoked, recordAct(db, act, statementBeforeDidIt)]);
}

export interface Rotation {
  readonly secret: NewSecret;
  /** When the secrets so far end, unless they end sooner. */
  readonly oldUntilMs: number;
  /** Good at once: the oldest beyond that end at once. */
  readonly maxSecrets: number;
}

/** False when the key is not active any more, and nothing was written. */
export async function rotateApiKey(db: Database, id: KeyId, rotation: Rotation, act: AuditRow): Promise<boolean> {
  const { secret, oldUntilMs, maxSecrets } = rotation;
  const added = sql`exists (select 1 from ${apiKeySecrets} where ${apiKeySecrets.sha256} = ${secret.sha256})`;
  const mine = eq(apiKeySecrets.keyId, id);
  const newest = sql`(select sha256 from api_key_secrets where key_id = ${id}
    order by created_at_ms desc, rowid desc limit ${maxSecrets})`;
  const [inserted] = await db.batch([
    db.insert(apiKeySecrets).select(sql`select ${secret.sha256}, ${apiKeys.id}, ${secret.createdAtMs}, null
      from ${apiKeys} where ${apiKeys.id} = ${id} and ${isActive(secret.createdAtMs)}`),
    recordAct(db, act, statementBeforeDidIt),
    db
      .update(apiKeySecrets)
      .set({ expiresAtMs: sql`min(coalesce(${apiKeySecrets.expiresAtMs}, ${oldUntilMs}), ${oldUntilMs})` })
      .where(and(mine, sql`${apiKeySecrets.sha256} <> ${secret.sha256}`, added)),
    db
      .delete(apiKeySecrets)
      .where(
        and(
          mine,
          added,
          or(lte(apiKeySecrets.expiresAtMs, secret.createdAtMs), sql`${apiKeySecrets.sha256} not in ${newest}`),
        ),
      ),
  ]);
  return inserted.meta.changes === 1;
}

/** Unless another request has noted a use since `notSinceMs`. */
export async function noteUse(db: Database, id: KeyId, atMs: number, notSinceMs: number): Promise<void> {
  await db
    .update(apiKeys)
    .set({ lastUsedAtMs: atMs })
    .where(and(eq(apiKeys.id, id), or(isNull(apiKeys.lastUsedAtMs), lte(apiKeys.lastUsedAtMs, notSinceMs))));
}
