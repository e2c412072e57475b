// Accounts and their balances.
import { eq } from "drizzle-orm";
import type { AccountId } from "../../shared/ids.ts";
import { micros } from "../../shared/pricing.ts";
import type { Database } from "../database.ts";
import { accounts, balances } from "../schema.ts";
import { type AuditRow, recordAct, statementBeforeDidIt } from "./audit.ts";

export type NewAccount = typeof accounts.$inferInsert;
export type AccountRow = typeof accounts.$inferSelect;

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

export type AccountLimits = Partial<Pick<AccountRow, "dailyCapMicros" | "maxInFlight" | "logPrompts">>;

/** The account as it then is; undefined if there is none. */
export async function limitAccount(
  db: Database,
  id: AccountId,
  limits: AccountLimits,
  act: AuditRow,
): Promise<AccountRow | undefined> {
  if (Object.keys(limits).length === 0) return await findAccount(db, id);
  const limited = db.update(accounts).set(limits).where(eq(accounts.id, id)).returning();
  const [rows] = await db.batch([limited, recordAct(db, act, statementBeforeDidIt)]);
  return rows[0];
}

export async function findBalance(db: Database, id: AccountId): Promise<typeof balances.$inferSelect | undefined> {
  return await db.select().from(balances).where(eq(balances.accountId, id)).get();
}
