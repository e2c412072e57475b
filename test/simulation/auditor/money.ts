// The books, kept a second time from the ledger's rows alone, and what each commit may book.
import type { Operation, Requests } from "../world/operation.ts";
import { booking } from "./booking.ts";
import type { Commit, History } from "./history.ts";
import { PaymentBooks } from "./payments.ts";
import { type ClipRow, ENDED, type LedgerRow, type State } from "./rows.ts";
import { must } from "./violation.ts";

interface Books {
  available: number;
  held: number;
  /** How low payments that were taken back have left it; 0 again with the next order. */
  floor: number;
}

/** kind -> the book that is moved from, and to. */
const MOVES: Readonly<Record<string, readonly [string, string]>> = {
  hold: ["available", "held"],
  capture: ["held", "revenue"],
  release: ["held", "available"],
  top_up: ["funding", "available"],
  refund: ["revenue", "available"],
  payment: ["funding", "available"],
  payment_refund: ["available", "funding"],
  dispute: ["available", "funding"],
  "dispute won": ["funding", "available"],
};
const LOSSES = ["payment_refund", "dispute"];

/** What a clip's new state books. */
function bookedBy(state: State, isNew: boolean): string | null {
  if (isNew) return "hold";
  if (state === "succeeded") return "capture";
  return ENDED.includes(state) ? "release" : null;
}

export class Accountant {
  readonly #books = new Map<string, Books>();
  /** clip -> what was booked for it. */
  readonly #clips = new Map<string, string[]>();
  readonly #refunded = new Map<string, number>();
  readonly #payments = new PaymentBooks();

  /** M1 to M5 for one commit. */
  judge(operation: Operation, commit: Commit, history: History): void {
    for (const { after } of commit.balances) {
      if (after !== null && !this.#books.has(after.account_id)) {
        this.#books.set(after.account_id, { available: 0, held: 0, floor: 0 });
      }
    }
    const transactions = this.#transactions(commit);
    const expected = this.#expected(operation, commit, history);
    const booked = transactions.map((rows) => this.#book(rows));
    must(booked.join("; ") === expected.join("; "), "M3", () => {
      return `${operation.kind} booked [${booked.join("; ")}] instead of [${expected.join("; ")}]`;
    });
    const touched = new Set(transactions.map((rows) => rows[0]?.account_id ?? ""));
    for (const { after } of commit.balances) touched.add(after?.account_id ?? "");
    for (const accountId of touched) this.#compare(accountId, commit);
  }

  refundedOf(clipId: string): number {
    return this.#refunded.get(clipId) ?? 0;
  }

  /** What was booked for a clip, in order. */
  bookedFor(clipId: string): readonly string[] {
    return this.#clips.get(clipId) ?? [];
  }

  heldBy(accountId: string): number {
    return this.#books.get(accountId)?.held ?? 0;
  }

  #expected(operation: Operation, commit: Commit, history: History): string[] {
    const ofPayments = this.#payments.expected(operation, commit, history);
    if (operation.kind === "stripe_event") return ofPayments;
    if (operation.kind !== "refund" || commit.ledger_entries.length === 0) return expectedBookings(operation, commit);
    const { clipId, amountMicros } = operation.request as Requests["refund"];
    const clip = history.now("clips", clipId);
    const left = (clip?.price_micros ?? 0) - this.refundedOf(clipId);
    const amount = amountMicros ?? left;
    must(clip?.state === "succeeded" && amount > 0 && amount <= left, "M4", () => {
      return `refunded ${amount} of clip ${clipId}, which is ${clip?.state} and has ${left} left`;
    });
    this.#refunded.set(clipId, this.refundedOf(clipId) + amount);
    return [booking("refund", clip.account_id, clipId, amount)];
  }

  #transactions(commit: Commit): LedgerRow[][] {
    const groups = new Map<string, LedgerRow[]>();
    for (const { before, after } of commit.ledger_entries) {
      must(before === null && after !== null, "M5", () => "a ledger entry was changed or deleted");
      const group = groups.get(after.transaction_id) ?? [];
      groups.set(after.transaction_id, [...group, after]);
    }
    return [...groups.values()];
  }

  /** Books one transaction and says in words what it was. */
  #book(rows: readonly LedgerRow[]): string {
    const [first] = rows;
    const text = JSON.stringify(rows);
    must(first !== undefined && rows.length === 2, "M1", () => `not two entries: ${text}`);
    must(rows.reduce((sum, row) => sum + row.amount_micros, 0) === 0, "M1", () => `entries do not sum to 0: ${text}`);
    const one = rows.every(
      (row) => row.account_id === first.account_id && row.clip_id === first.clip_id && row.kind === first.kind,
    );
    must(one, "M1", () => `entries of different things: ${text}`);
    const won = first.kind === "dispute" && rows.some((row) => row.book === "available" && row.amount_micros > 0);
    const kind = won ? "dispute won" : first.kind;
    const [from, to] = MOVES[kind] ?? [];
    const credit = rows.find(({ amount_micros }) => amount_micros > 0);
    const debit = rows.find(({ amount_micros }) => amount_micros < 0);
    must(debit?.book === from && credit?.book === to, "M1", () => `entries in the wrong books: ${text}`);
    const books = this.#books.get(first.account_id);
    must(books !== undefined, "M1", () => `no such account: ${text}`);
    for (const { book, amount_micros } of rows) {
      if (book === "available" || book === "held") books[book] += amount_micros;
    }
    if (first.clip_id !== null) {
      this.#clips.set(first.clip_id, [...this.bookedFor(first.clip_id), first.kind]);
    }
    if (kind === "hold") books.floor = 0;
    if (LOSSES.includes(kind)) books.floor = Math.min(books.floor, books.available);
    return booking(kind, first.account_id, first.clip_id, credit?.amount_micros ?? 0);
  }

  /** M2 and M5: the balance row says what the ledger's fold says, and nobody promises more than they own. */
  #compare(accountId: string, commit: Commit): void {
    const books = this.#books.get(accountId);
    const row = commit.balances.findLast(({ after }) => after?.account_id === accountId)?.after;
    const text = () => `account ${accountId}: ledger ${JSON.stringify(books)}, balance ${JSON.stringify(row)}`;
    must(books !== undefined && row !== undefined && row !== null, "M5", text);
    must(row.posted_micros === books.available + books.held && row.pending_micros === books.held, "M5", text);
    must(books.available >= books.floor && books.held >= 0, "M2", text);
  }
}

function expectedBookings(operation: Operation, commit: Commit): string[] {
  if (operation.kind === "grant") {
    const { accountId, amountMicros } = operation.request as Requests["grant"];
    return [booking("top_up", accountId, null, amountMicros)];
  }
  const bookings: string[] = [];
  for (const { before, after } of commit.clips) {
    const kind = after === null || before?.state === after.state ? null : bookedBy(after.state, before === null);
    if (kind !== null && after !== null) bookings.push(bookingOf(kind, after));
  }
  return bookings;
}

function bookingOf(kind: string, clip: ClipRow): string {
  return booking(kind, clip.account_id, clip.id, clip.price_micros);
}
