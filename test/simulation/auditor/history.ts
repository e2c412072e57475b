// The committed state, as it was after every commit: what an operation may have seen is what was true at some
// moment between its beginning and its end.
import type { RowChange } from "../world/change-log.ts";
import type { Tables } from "./rows.ts";

interface Version<R> {
  readonly at: number;
  readonly row: R | null;
}

type Table = keyof Tables;

/** One row's change, before and after. */
export interface Change<R> {
  readonly before: R | null;
  readonly after: R | null;
}

export type Commit = { readonly [T in Table]: readonly Change<Tables[T]>[] };

const TABLES: readonly Table[] = [
  "accounts",
  "daily_spend",
  "in_flight",
  "clips",
  "clip_events",
  "ledger_entries",
  "balances",
  "api_keys",
  "api_key_secrets",
  "idempotency_keys",
  "runners",
  "output_removals",
  "webhook_endpoints",
  "webhook_secrets",
  "webhook_messages",
  "webhook_deliveries",
  "webhook_attempts",
  "top_ups",
  "auto_top_ups",
  "stripe_events",
  "stripe_customers",
];

export class History {
  /** Commits so far. */
  version = 0;
  readonly #tables = new Map<string, Map<string, Version<unknown>[]>>(TABLES.map((table) => [table, new Map()]));
  /** The names of the rows by their rowid, which is all that is told of a deleted one. */
  readonly #names = new Map<string, string>();

  /** Takes a commit in; the changes of tables that nobody follows are left out. */
  record(changes: readonly RowChange[]): Commit {
    this.version += 1;
    const commit = Object.fromEntries(TABLES.map((table) => [table, [] as Change<unknown>[]])) as Record<
      string,
      Change<unknown>[]
    >;
    for (const { table, rowid, row } of changes) {
      const rows = this.#tables.get(table);
      if (rows === undefined) continue;
      const place = `${table} ${rowid}`;
      const name = row === null ? (this.#names.get(place) ?? "") : nameOf(table as Table, row, rowid);
      this.#names.set(place, name);
      let versions = rows.get(name);
      if (versions === undefined) {
        versions = [];
        rows.set(name, versions);
      }
      commit[table]?.push({ before: versions.at(-1)?.row ?? null, after: row });
      versions.push({ at: this.version, row });
    }
    return commit as unknown as Commit;
  }

  /** The row as it stands, by its name (see nameOf). */
  now<T extends Table>(table: T, name: string): Tables[T] | null {
    return this.#versions(table, name).at(-1)?.row ?? null;
  }

  /** Every form that the row had from the version `since` on, the one it had then included; null is absence. */
  seenSince<T extends Table>(table: T, name: string, since: number): (Tables[T] | null)[] {
    const versions = this.#versions(table, name);
    const first = versions.findLastIndex(({ at }) => at <= since);
    const seen = versions.slice(Math.max(first, 0)).map(({ row }) => row);
    return first === -1 ? [null, ...seen] : seen;
  }

  /** Rows that the table has ever had. */
  sizeOf(table: Table): number {
    return this.#tables.get(table)?.size ?? 0;
  }

  /** All rows of a table as they stand. */
  *all<T extends Table>(table: T): Generator<Tables[T]> {
    for (const versions of this.#tables.get(table)?.values() ?? []) {
      const row = versions.at(-1)?.row;
      if (row) yield row as Tables[T];
    }
  }

  /** Whether some clip was claimed for this nonce in the version `since` or later. */
  wasClaimed(nonce: string, since: number): boolean {
    const isClaim = (row: Tables["clips"] | null) => row?.poll_nonce === nonce;
    return [...(this.#tables.get("clips")?.keys() ?? [])].some((id) =>
      this.seenSince("clips", id, since).some(isClaim),
    );
  }

  #versions<T extends Table>(table: T, name: string): readonly Version<Tables[T]>[] {
    return (this.#tables.get(table)?.get(name) ?? []) as Version<Tables[T]>[];
  }
}

/** What a row is asked for by; nobody asks for a single event or ledger entry. */
function nameOf(table: Table, row: Readonly<Record<string, unknown>>, rowid: number): string {
  switch (table) {
    case "balances":
    case "auto_top_ups":
    case "stripe_customers":
    case "in_flight":
      return String(row.account_id);
    case "daily_spend":
      return spendName(String(row.spender_id), Number(row.utc_day));
    case "idempotency_keys":
      return answerName(String(row.account_id), String(row.operation), String(row.key));
    case "output_removals":
      return `${String(row.clip_id)}/${String(row.attempt)}`;
    case "api_key_secrets":
      return String(row.sha256);
    case "webhook_deliveries":
      return deliveryName(String(row.message_id), String(row.lane));
    case "webhook_attempts":
    case "clip_events":
    case "ledger_entries":
      return String(rowid);
    case "accounts":
    case "clips":
    case "api_keys":
    case "runners":
    case "webhook_endpoints":
    case "webhook_secrets":
    case "webhook_messages":
    case "top_ups":
    case "stripe_events":
      return String(row.id);
  }
}

export function spendName(spenderId: string, utcDay: number): string {
  return `${spenderId}/${utcDay}`;
}

export function deliveryName(messageId: string, lane: string): string {
  return `${messageId}/${lane}`;
}

export function answerName(accountId: string, operation: string, key: string): string {
  return `${accountId}/${operation}/${key}`;
}
