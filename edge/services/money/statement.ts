// A month's statement as CSV (RFC 4180): every charge, refund and credit between the opening and the closing balance.
// It is read and written page by page, so that a month of any size needs the memory of one page.
import { foldPosted, listPostings } from "../../../db/queries/accounting.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { AccountId, TransactionId } from "../../../shared/ids.ts";
import { formatDollars, type Micros, micros } from "../../../shared/pricing.ts";
import { timestamp } from "../clips/view.ts";
import type { Ports } from "../ports.ts";

const ROWS_PER_PAGE = 1_000;
const COLUMNS = [
  "time",
  "transaction_id",
  "kind",
  "clip_id",
  "model",
  "key_id",
  "reason",
  "amount_micros",
  "balance_micros",
  "amount",
  "balance",
];

/** "2026-11". */
export type Month = string;

/** Throws not_found for a month that has not begun. The current month's statement ends with now. */
export function openStatement(
  ports: Pick<Ports, "db" | "clock">,
  accountId: AccountId,
  month: Month,
): AsyncGenerator<string, void> {
  const [year = 0, number = 0] = month.split("-").map(Number);
  const fromMs = Date.UTC(year, number - 1);
  const nowMs = ports.clock.now();
  if (fromMs > nowMs) throw new ApiError("not_found", `The month ${month} has not begun (UTC).`);
  return writeStatement(ports, accountId, { fromMs, untilMs: Math.min(Date.UTC(year, number), nowMs + 1) });
}

async function* writeStatement(
  ports: Pick<Ports, "db">,
  accountId: AccountId,
  span: { readonly fromMs: number; readonly untilMs: number },
): AsyncGenerator<string, void> {
  let balance = await foldPosted(ports.db, accountId, span.fromMs);
  yield line(COLUMNS) + balanceLine(span.fromMs, "opening_balance", balance);
  let after: TransactionId | null = null;
  for (;;) {
    const rows: Awaited<ReturnType<typeof listPostings>> = await listPostings(
      ports.db,
      accountId,
      span,
      after,
      ROWS_PER_PAGE,
    );
    let text = "";
    for (const row of rows) {
      balance = micros(balance + row.postedMicros);
      text += line([
        timestamp(row.atMs),
        row.transactionId,
        row.kind,
        row.clipId ?? "",
        row.model ?? "",
        row.keyId ?? "",
        asText(row.reason ?? ""),
        ...amounts(row.postedMicros, balance),
      ]);
    }
    if (text !== "") yield text;
    if (rows.length < ROWS_PER_PAGE) break;
    after = rows.at(-1)?.transactionId ?? null;
  }
  yield balanceLine(span.untilMs, "closing_balance", balance);
}

function balanceLine(atMs: number, kind: string, balance: Micros): string {
  return line([timestamp(atMs), "", kind, "", "", "", "", ...amounts(micros(0), balance)]);
}

function amounts(amount: Micros, balance: Micros): string[] {
  return [String(amount), String(balance), formatDollars(amount), formatDollars(balance)];
}

/** A spreadsheet would take words that begin like a formula for one. */
function asText(words: string): string {
  return /^[=+\-@\t\r]/.test(words) ? `'${words}` : words;
}

function line(fields: readonly string[]): string {
  const quoted = fields.map((field) => (/[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field));
  return `${quoted.join(",")}\r\n`;
}
