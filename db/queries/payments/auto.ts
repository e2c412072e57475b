// Automatic top-ups: what an account has set, whose card it is, and the one charge that may be under way.
import { and, eq, gte, inArray, lt, lte, min, ne, type SQL, sql } from "drizzle-orm";
import type { AccountId, TopUpId, TransactionId } from "../../../shared/ids.ts";
import { firstIdAt } from "../../../shared/ids.ts";
import { micros } from "../../../shared/pricing.ts";
import type { Database } from "../../database.ts";
import { autoTopUps, balances, ledgerEntries, stripeCustomers, topUps } from "../../schema.ts";
import type { Statement } from "../transitions.ts";
import type { TopUpRow } from "./top-ups.ts";

export type AutoTopUpRow = typeof autoTopUps.$inferSelect;
export type AutoTopUpSettings = Pick<
  AutoTopUpRow,
  "accountId" | "keyId" | "thresholdMicros" | "amountMicros" | "monthlyCapMicros"
>;

/** Due or not, by a balance as it is. */
function stateAt(available: SQL, threshold: SQL): SQL<"due" | "armed"> {
  return sql`case when ${available} < ${threshold} then 'due' else 'armed' end`;
}

/** A charge that is under way goes on; what had stopped it before is forgotten. */
export function putAutoTopUp(db: Database, settings: AutoTopUpSettings): Statement {
  const { accountId, keyId, thresholdMicros, amountMicros, monthlyCapMicros } = settings;
  const available = sql`${balances.postedMicros} - ${balances.pendingMicros}`;
  const keptWhileCharging = (kept: SQL, other: SQL) =>
    sql`case when ${autoTopUps.state} = 'charging' then ${kept} else ${other} end`;
  return db
    .insert(autoTopUps)
    .select(sql`
      select ${accountId}, ${keyId}, ${thresholdMicros}, ${amountMicros}, ${monthlyCapMicros},
        ${stateAt(available, sql`${thresholdMicros}`)}, null, 0, 0, null
      from ${balances} where ${balances.accountId} = ${accountId}`)
    .onConflictDoUpdate({
      target: autoTopUps.accountId,
      set: {
        keyId,
        thresholdMicros: settings.thresholdMicros,
        amountMicros: settings.amountMicros,
        monthlyCapMicros: settings.monthlyCapMicros,
        state: keptWhileCharging(sql`'charging'`, sql`excluded.state`),
        notBeforeMs: keptWhileCharging(sql`${autoTopUps.notBeforeMs}`, sql`0`),
        lastError: null,
      },
    });
}

/** A charge that Stripe was asked for already may still be paid, and is credited then. */
export function dropAutoTopUp(db: Database, accountId: AccountId): [Statement, Statement] {
  const charge = sql`(select ${autoTopUps.topUpId} from ${autoTopUps} where ${autoTopUps.accountId} = ${accountId})`;
  return [
    db
      .update(topUps)
      .set({ state: "expired" })
      .where(and(eq(topUps.id, charge), eq(topUps.state, "open"))),
    db.delete(autoTopUps).where(eq(autoTopUps.accountId, accountId)),
  ];
}

export interface FoundAutoTopUp extends AutoTopUpRow {
  /** Null until a card is kept. */
  readonly customerId: string | null;
}

export async function findAutoTopUp(db: Database, accountId: AccountId): Promise<FoundAutoTopUp | undefined> {
  const row = await db
    .select({ auto: autoTopUps, customerId: stripeCustomers.customerId })
    .from(autoTopUps)
    .leftJoin(stripeCustomers, eq(stripeCustomers.accountId, autoTopUps.accountId))
    .where(eq(autoTopUps.accountId, accountId))
    .get();
  return row && { ...row.auto, customerId: row.customerId };
}

/** Of automatic top-ups made since then, all that were not refused: one whose end is unknown may have been paid. */
export async function sumChargedSince(db: Database, accountId: AccountId, sinceMs: number): Promise<number> {
  const row = await db.select({ sum: sumOfCharges }).from(topUps).where(wereCharged(accountId, sinceMs)).get();
  return row?.sum ?? 0;
}

const sumOfCharges = sql<number>`coalesce(sum(${topUps.amountMicros}), 0)`;

function wereCharged(accountId: AccountId, sinceMs: number): SQL | undefined {
  const since = gte(topUps.id, firstIdAt("topUp", sinceMs));
  return and(eq(topUps.accountId, accountId), since, topUps.auto, ne(topUps.state, "failed"));
}

const isWaiting = inArray(autoTopUps.state, ["due", "charging"]);

/** Accounts with something to do for their card; those without one wait for it. */
export async function findDueCharges(db: Database, nowMs: number, limit: number): Promise<AccountId[]> {
  const rows = await db
    .select({ accountId: autoTopUps.accountId })
    .from(autoTopUps)
    .innerJoin(stripeCustomers, eq(stripeCustomers.accountId, autoTopUps.accountId))
    .where(and(isWaiting, lte(autoTopUps.notBeforeMs, nowMs)))
    .limit(limit);
  return rows.map(({ accountId }) => accountId);
}

export async function findNextCharge(db: Database): Promise<number | null> {
  const row = await db
    .select({ at: min(autoTopUps.notBeforeMs) })
    .from(autoTopUps)
    .innerJoin(stripeCustomers, eq(stripeCustomers.accountId, autoTopUps.accountId))
    .where(isWaiting)
    .get();
  return row?.at ?? null;
}

const isDue = (accountId: AccountId) => and(eq(autoTopUps.accountId, accountId), eq(autoTopUps.state, "due"));

type Settings = Pick<AutoTopUpRow, "accountId" | "keyId" | "amountMicros" | "monthlyCapMicros">;

/** True in the batch of `beginCharge` once it has begun. */
export function hasBegun(topUpId: TopUpId): SQL {
  return sql`exists (select 1 from ${autoTopUps} where ${autoTopUps.topUpId} = ${topUpId})`;
}

/** Due by the settings that were read: what the owner has changed since is looked at anew. */
function isDueAs({ accountId, amountMicros, monthlyCapMicros }: Settings): SQL {
  return sql`${isDue(accountId)} and ${autoTopUps.amountMicros} = ${amountMicros}
    and ${autoTopUps.monthlyCapMicros} = ${monthlyCapMicros}`;
}

export interface NewCharge extends Pick<TopUpRow, "id" | "createdAtMs"> {
  /** Since when the cap counts what was charged. */
  readonly monthStartMs: number;
  /** When to ask Stripe again. */
  readonly notBeforeMs: number;
}

/**
 * Makes the top-up and names it, unless the account is not due any more, or by other settings, or the month's cap has
 * no room for it: another step may have charged since this one looked.
 */
export function beginCharge(
  db: Database,
  settings: Settings,
  { id, createdAtMs, monthStartMs, notBeforeMs }: NewCharge,
): [Statement, Statement] {
  const { accountId, keyId, amountMicros } = settings;
  const charged = sql`(select ${sumOfCharges} from ${topUps} where ${wereCharged(accountId, monthStartMs)})`;
  const hasRoom = sql`${charged} + ${amountMicros} <= ${autoTopUps.monthlyCapMicros}`;
  return [
    db.insert(topUps).select(sql`
      select ${id}, ${accountId}, ${keyId}, ${amountMicros}, '', '', null, 'open', null, null, null, true, false,
        ${createdAtMs}
      from ${autoTopUps} where ${isDueAs(settings)} and ${hasRoom}`),
    db
      .update(autoTopUps)
      .set({ state: "charging", topUpId: id, notBeforeMs, failures: 0, lastError: null })
      .where(and(isDue(accountId), sql`exists (select 1 from ${topUps} where ${topUps.id} = ${id})`)),
  ];
}

/** changes() is 1 right after it if it was due and not put off already. */
export function putOff(db: Database, row: AutoTopUpRow, untilMs: number, error: string): Statement {
  return db
    .update(autoTopUps)
    .set({ notBeforeMs: untilMs, lastError: error })
    .where(and(isDueAs(row), eq(autoTopUps.notBeforeMs, row.notBeforeMs)));
}

/** Stripe has been asked: look again then, unless it has told by then how it went. */
export async function lookAgain(
  db: Database,
  topUpId: TopUpId,
  set: Pick<AutoTopUpRow, "notBeforeMs" | "failures">,
): Promise<void> {
  await db.update(autoTopUps).set(set).where(eq(autoTopUps.topUpId, topUpId));
}

/** changes() is 1 right after it if that was the charge under way. */
export function stopCharging(db: Database, topUpId: TopUpId, error: string): Statement {
  return db
    .update(autoTopUps)
    .set({ state: "stopped", topUpId: null, failures: 0, lastError: error })
    .where(eq(autoTopUps.topUpId, topUpId));
}

/** After the balance was moved: its charge is paid, and the next one may be due at once. */
export function rearm(db: Database, topUpId: TopUpId): Statement {
  const available = sql`(select ${balances.postedMicros} - ${balances.pendingMicros} from ${balances}
    where ${balances.accountId} = ${autoTopUps.accountId})`;
  return db
    .update(autoTopUps)
    .set({
      state: stateAt(available, sql`${autoTopUps.thresholdMicros}`),
      topUpId: null,
      notBeforeMs: 0,
      failures: 0,
      lastError: null,
    })
    .where(eq(autoTopUps.topUpId, topUpId));
}

/** Where one of these transactions took money off the account. What Stripe was asked for already is credited when paid. */
export function stopAfterLoss(db: Database, transactions: readonly TransactionId[], error: string): Statement[] {
  const losers = db
    .select({ accountId: ledgerEntries.accountId })
    .from(ledgerEntries)
    .where(
      and(
        inArray(ledgerEntries.transactionId, [...transactions]),
        eq(ledgerEntries.book, "available"),
        lt(ledgerEntries.amountMicros, micros(0)),
      ),
    );
  return [
    db
      .update(topUps)
      .set({ state: "expired" })
      .where(and(inArray(topUps.accountId, losers), topUps.auto, eq(topUps.state, "open"))),
    db
      .update(autoTopUps)
      .set({ state: "stopped", topUpId: null, failures: 0, lastError: error })
      .where(inArray(autoTopUps.accountId, losers)),
  ];
}

/** The last one stands. */
export function keepCustomer(db: Database, accountId: AccountId, customerId: string): Statement {
  return db
    .insert(stripeCustomers)
    .values({ accountId, customerId })
    .onConflictDoUpdate({ target: stripeCustomers.accountId, set: { customerId } });
}
