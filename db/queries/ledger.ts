// Money that moves with a clip, and credit that is granted. Each movement writes two ledger rows that sum to
// 0 and moves the balance row in the same batch; amounts come from the clip's own price, so that what is
// captured or released is what was held.
//
// Two books per account: `available` and `held`. The balance row is their fold: posted = available + held,
// pending = held.
import { eq, type SQL, sql } from "drizzle-orm";
import type { LEDGER_KINDS } from "../../shared/contract/accounting.ts";
import type { AccountId, ClipId, KeyId, TransactionId } from "../../shared/ids.ts";
import { type Micros, micros } from "../../shared/pricing.ts";
import type { Database } from "../database.ts";
import { balances, clipRefunds, clips, type LEDGER_BOOKS, ledgerEntries } from "../schema.ts";
import { countEnd, countOrder, uncountSpend } from "./limits.ts";
import { type Statement, type Transition, tookPlace } from "./transitions.ts";

type Book = (typeof LEDGER_BOOKS)[number];
type Kind = (typeof LEDGER_KINDS)[number];

/** From one book to another: the price of the transition's clip, if the transition took place. Two rows. */
function movePrice(db: Database, transition: Transition, kind: Kind, from: Book, to: Book): Statement {
  const { transactionId, atMs } = transition;
  const entry = (book: Book, amount: SQL) => sql`
    select ${transactionId}, ${book}, ${clips.accountId}, ${clips.id}, ${clips.keyId}, ${kind}, ${amount}, null, ${atMs}
    from ${clips} where ${transition.clip} and ${tookPlace(transition)}`;
  const both = sql`${entry(from, sql`-${clips.priceMicros}`)} union all ${entry(to, sql`${clips.priceMicros}`)}`;
  return db.insert(ledgerEntries).select(both);
}

function moveBalance(
  db: Database,
  transition: Transition,
  change: { posted: SQL; pending: SQL; floor?: SQL },
): Statement {
  const owner = sql`(select ${clips.accountId} from ${clips} where ${transition.clip})`;
  return db
    .update(balances)
    .set({
      postedMicros: change.posted,
      pendingMicros: change.pending,
      ...(change.floor !== undefined && { floorMicros: change.floor }),
    })
    .where(sql`${balances.accountId} = ${owner} and ${tookPlace(transition)}`);
}

function priceOf(transition: Transition): SQL {
  return sql`(select ${clips.priceMicros} from ${clips} where ${transition.clip})`;
}

/**
 * Reserves the clip's price and counts the order. The balance's CHECK `balance_covers_holds` aborts the batch on
 * an overdraft, those of the limits where one would be exceeded.
 */
export function hold(db: Database, transition: Transition): Statement[] {
  return [
    movePrice(db, transition, "hold", "available", "held"),
    moveBalance(db, transition, {
      posted: sql`${balances.postedMicros}`,
      pending: sql`${balances.pendingMicros} + ${priceOf(transition)}`,
      floor: sql`0`,
    }),
    ...countOrder(db, transition),
  ];
}

/** Takes what was held: the clip succeeded. */
export function capture(db: Database, transition: Transition): Statement[] {
  return [
    movePrice(db, transition, "capture", "held", "revenue"),
    moveBalance(db, transition, {
      posted: sql`${balances.postedMicros} - ${priceOf(transition)}`,
      pending: sql`${balances.pendingMicros} - ${priceOf(transition)}`,
    }),
    countEnd(db, transition),
  ];
}

/** Gives back what was held: the clip ended without success, which is free. */
export function release(db: Database, transition: Transition): Statement[] {
  return [
    movePrice(db, transition, "release", "held", "available"),
    moveBalance(db, transition, {
      posted: sql`${balances.postedMicros}`,
      pending: sql`${balances.pendingMicros} - ${priceOf(transition)}`,
    }),
    countEnd(db, transition),
    ...uncountSpend(db, transition),
  ];
}

export interface TopUp {
  readonly transactionId: TransactionId;
  readonly accountId: AccountId;
  readonly amountMicros: Micros;
  readonly reason: string;
  readonly atMs: number;
}

/** Adds credit. Unguarded: the batch's idempotency row aborts a repetition. */
export function topUp(db: Database, credit: TopUp): Statement[] {
  const { transactionId, accountId, amountMicros, reason, atMs } = credit;
  const row = { transactionId, accountId, kind: "top_up", reason, atMs } as const;
  return [
    db.insert(ledgerEntries).values([
      { ...row, book: "funding", amountMicros: micros(0 - amountMicros) },
      { ...row, book: "available", amountMicros },
    ]),
    addToPosted(db, accountId, amountMicros),
  ];
}

export interface Refund {
  readonly transactionId: TransactionId;
  readonly accountId: AccountId;
  readonly clipId: ClipId;
  readonly keyId: KeyId | null;
  readonly capturedMicros: Micros;
  readonly amountMicros: Micros;
  readonly reason: string;
  readonly atMs: number;
}

/**
 * Gives back what was captured, by rows that compensate; what was booked stays. The CHECK `refund_within_capture`
 * aborts the batch when all refunds of the clip together would exceed its capture. Otherwise unguarded: the
 * batch's idempotency row aborts a repetition.
 */
export function refund(db: Database, { capturedMicros, amountMicros, ...rest }: Refund): Statement[] {
  const row = { ...rest, kind: "refund" } as const;
  return [
    db
      .insert(clipRefunds)
      .values({ clipId: rest.clipId, capturedMicros, refundedMicros: amountMicros })
      .onConflictDoUpdate({
        target: clipRefunds.clipId,
        set: { refundedMicros: sql`${clipRefunds.refundedMicros} + excluded.refunded_micros` },
      }),
    db.insert(ledgerEntries).values([
      { ...row, book: "revenue", amountMicros: micros(0 - amountMicros) },
      { ...row, book: "available", amountMicros },
    ]),
    addToPosted(db, rest.accountId, amountMicros),
  ];
}

function addToPosted(db: Database, accountId: AccountId, amountMicros: Micros): Statement {
  return db
    .update(balances)
    .set({ postedMicros: sql`${balances.postedMicros} + ${amountMicros}` })
    .where(eq(balances.accountId, accountId));
}

export async function findRefunded(db: Database, clipId: ClipId): Promise<Micros> {
  const row = await db
    .select({ refunded: clipRefunds.refundedMicros })
    .from(clipRefunds)
    .where(eq(clipRefunds.clipId, clipId))
    .get();
  return row?.refunded ?? micros(0);
}
