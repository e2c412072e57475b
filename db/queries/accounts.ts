// Accounts, their balances and their API keys.
import { and, eq, isNull } from "drizzle-orm";
import type { AccountId, KeyId } from "../../shared/ids.ts";
import { type Micros, micros } from "../../shared/pricing.ts";
import type { Database } from "../database.ts";
import { accounts, apiKeys, balances } from "../schema.ts";

export type NewAccount = typeof accounts.$inferInsert;
export type AccountRow = typeof accounts.$inferSelect;
export type ApiKeyRow = typeof apiKeys.$inferSelect;

/** An account never exists without its balance row: a hold would otherwise check nothing. */
export async function insertAccount(db: Database, account: NewAccount): Promise<void> {
  await db.batch([
    db.insert(accounts).values(account),
    db.insert(balances).values({ accountId: account.id, postedMicros: micros(0), pendingMicros: micros(0) }),
  ]);
}

export async function findAccount(db: Database, id: AccountId): Promise<AccountRow | undefined> {
  return await db.select().from(accounts).where(eq(accounts.id, id)).get();
}

export type AccountLimits = Partial<Pick<AccountRow, "dailyCapMicros" | "maxInFlight">>;

/** The account as it then is; undefined if there is none. */
export async function limitAccount(
  db: Database,
  id: AccountId,
  limits: AccountLimits,
): Promise<AccountRow | undefined> {
  if (Object.keys(limits).length === 0) return await findAccount(db, id);
  return await db.update(accounts).set(limits).where(eq(accounts.id, id)).returning().get();
}

export async function findBalance(db: Database, id: AccountId): Promise<typeof balances.$inferSelect | undefined> {
  return await db.select().from(balances).where(eq(balances.accountId, id)).get();
}

export async function insertApiKey(db: Database, key: ApiKeyRow): Promise<void> {
  await db.insert(apiKeys).values(key);
}

export async function findApiKey(db: Database, id: KeyId): Promise<ApiKeyRow | undefined> {
  return await db.select().from(apiKeys).where(eq(apiKeys.id, id)).get();
}

/** A key that is already revoked keeps the time at which it was. */
export async function revokeApiKey(db: Database, id: KeyId, atMs: number): Promise<void> {
  await db
    .update(apiKeys)
    .set({ revokedAtMs: atMs })
    .where(and(eq(apiKeys.id, id), isNull(apiKeys.revokedAtMs)));
}

/** The key as it then is; undefined if there is none. */
export async function limitApiKey(
  db: Database,
  id: KeyId,
  dailyCapMicros: Micros | null,
): Promise<ApiKeyRow | undefined> {
  return await db.update(apiKeys).set({ dailyCapMicros }).where(eq(apiKeys.id, id)).returning().get();
}
