// An account's ledger, one object a transaction, newest first.
import { listTransactions } from "../../../db/queries/accounting.ts";
import type { LedgerPage } from "../../../shared/contract/accounting.ts";
import type { AccountId, TransactionId } from "../../../shared/ids.ts";
import { timestamp } from "../clips/view.ts";
import type { Ports } from "../ports.ts";

export interface PageRequest {
  readonly limit: number;
  /** The last transaction of the page before; null for the first page. */
  readonly after: TransactionId | null;
}

/** What is booked while someone pages stands before their first page: nothing is skipped or told twice. */
export async function listLedger(
  ports: Pick<Ports, "db">,
  accountId: AccountId,
  page: PageRequest,
): Promise<LedgerPage> {
  const rows = await listTransactions(ports.db, accountId, page.after, page.limit + 1);
  const data = rows.slice(0, page.limit).map((row) => ({
    id: row.transactionId,
    kind: row.kind,
    available_micros: row.availableMicros,
    held_micros: row.heldMicros,
    clip_id: row.clipId,
    key_id: row.keyId,
    reason: row.reason,
    at: timestamp(row.atMs),
  }));
  const hasMore = rows.length > page.limit;
  return { data, has_more: hasMore, next: hasMore ? (data.at(-1)?.id ?? null) : null };
}
