// Folds of the ledger: what an account has spent, what moved its balance, and what the balance was. Transactions are
// named by ids that sort by time to the millisecond, so a span of time is a span of ids, on the index that lists them.
import { and, desc, eq, gte, inArray, lt, sql } from "drizzle-orm";
import { DAY_MS } from "../../shared/days.ts";
import { type AccountId, firstIdAt, type TransactionId } from "../../shared/ids.ts";
import type { Micros } from "../../shared/pricing.ts";
import type { Database } from "../database.ts";
import { clips, ledgerEntries } from "../schema.ts";

/** Milliseconds since 1970; the end is not included. */
export interface Span {
  readonly fromMs: number;
  readonly untilMs: number;
}

function within(accountId: AccountId, { fromMs, untilMs }: Span) {
  const { transactionId } = ledgerEntries;
  return and(
    eq(ledgerEntries.accountId, accountId),
    gte(transactionId, firstIdAt("transaction", fromMs)),
    lt(transactionId, firstIdAt("transaction", untilMs)),
  );
}

const sumOf = (condition: ReturnType<typeof sql>) =>
  sql<Micros>`coalesce(sum(${ledgerEntries.amountMicros}) filter (where ${condition}), 0)`;

/** What was charged and given back, by UTC day, model and API key. */
export async function foldUsage(db: Database, accountId: AccountId, span: Span) {
  const day = sql<number>`${ledgerEntries.atMs} / ${sql.raw(String(DAY_MS))}`;
  const { kind, keyId, book } = ledgerEntries;
  return await db
    .select({
      day,
      model: clips.model,
      keyId,
      clips: sql<number>`count(*) filter (where ${kind} = 'capture')`,
      capturedMicros: sumOf(sql`${kind} = 'capture'`),
      refundedMicros: sql<Micros>`-${sumOf(sql`${kind} = 'refund'`)}`,
    })
    .from(ledgerEntries)
    .innerJoin(clips, eq(clips.id, ledgerEntries.clipId))
    .where(and(within(accountId, span), eq(book, "revenue")))
    .groupBy(day, clips.model, keyId)
    .orderBy(day, clips.model, keyId);
}

/** An account's transactions, newest first, from before `before` on. */
export async function listTransactions(
  db: Database,
  accountId: AccountId,
  before: TransactionId | null,
  limit: number,
) {
  const { transactionId, kind, clipId, keyId, reason, atMs, book } = ledgerEntries;
  return await db
    .select({
      transactionId,
      kind,
      clipId,
      keyId,
      reason,
      atMs,
      availableMicros: sumOf(sql`${book} = 'available'`),
      heldMicros: sumOf(sql`${book} = 'held'`),
    })
    .from(ledgerEntries)
    .where(
      and(
        eq(ledgerEntries.accountId, accountId),
        before === null ? undefined : lt(ledgerEntries.transactionId, before),
      ),
    )
    .groupBy(transactionId)
    .orderBy(desc(transactionId))
    .limit(limit);
}

/** What the account owned at this moment, held or not. */
export async function foldPosted(db: Database, accountId: AccountId, atMs: number): Promise<Micros> {
  const row = await db
    .select({ posted: sumOf(sql`${ledgerEntries.book} in ('available', 'held')`) })
    .from(ledgerEntries)
    .where(within(accountId, { fromMs: 0, untilMs: atMs }))
    .get();
  if (row === undefined) throw new RangeError("an aggregate always has a row");
  return row.posted;
}

/** What changed what the account owns, oldest first: charges, refunds and credit. Our side's row has the amount. */
export async function listPostings(
  db: Database,
  accountId: AccountId,
  span: Span,
  after: TransactionId | null,
  limit: number,
) {
  const { transactionId, kind, clipId, keyId, reason, atMs, amountMicros, book } = ledgerEntries;
  return await db
    .select({
      transactionId,
      kind,
      clipId,
      keyId,
      reason,
      atMs,
      model: clips.model,
      postedMicros: sql<Micros>`-${amountMicros}`,
    })
    .from(ledgerEntries)
    .leftJoin(clips, eq(clips.id, clipId))
    .where(
      and(
        within(accountId, span),
        inArray(book, ["revenue", "funding"]),
        after === null ? undefined : sql`${transactionId} > ${after}`,
      ),
    )
    .orderBy(transactionId)
    .limit(limit);
}
