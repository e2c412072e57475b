// What the database says, read straight from its file and by SQL of our own: the soak's auditor shares no code with
// the services it judges.
import { DatabaseSync } from "node:sqlite";
import { databaseFile } from "../d1-file.ts";

export interface Held {
  readonly clip: string;
  readonly attempt: number;
}

/** Findings are counts that must be 0; the rest is told. */
export interface Audit {
  readonly findings: Readonly<Record<string, number>>;
  readonly states: Readonly<Record<string, number>>;
}

const count = (sql: string) => `SELECT count(*) AS n FROM (${sql})`;

/** What must never be, as queries that find it. */
const NEVER: Readonly<Record<string, string>> = {
  "clips lost (not finished)": "SELECT id FROM clips WHERE state NOT IN ('succeeded','failed','cancelled','expired')",
  "clips doubled (two for one key)": `SELECT json_extract(answer, '$.id') FROM idempotency_keys
    WHERE operation = 'create_clip' GROUP BY json_extract(answer, '$.id') HAVING count(*) > 1
    UNION ALL SELECT id FROM clips WHERE id NOT IN
      (SELECT json_extract(answer, '$.id') FROM idempotency_keys WHERE operation = 'create_clip')`,
  "clips finished twice": `SELECT clip_id FROM clip_events WHERE event IN ('succeeded','failed','cancelled','expired')
    GROUP BY clip_id HAVING count(*) > 1`,
  "clips charged twice": `SELECT clip_id FROM ledger_entries WHERE kind = 'capture' AND book = 'revenue'
    GROUP BY clip_id HAVING count(*) > 1`,
  "clips charged without success": `SELECT e.clip_id FROM ledger_entries e JOIN clips c ON c.id = e.clip_id
    WHERE e.kind = 'capture' AND e.book = 'revenue' AND c.state <> 'succeeded'`,
  "clips that succeeded uncharged": `SELECT id FROM clips WHERE state = 'succeeded' AND id NOT IN
    (SELECT clip_id FROM ledger_entries WHERE kind = 'capture' AND book = 'revenue' AND abs(amount_micros) = price_micros)`,
  "holds left": `SELECT clip_id FROM ledger_entries WHERE book = 'held' AND clip_id IS NOT NULL
    GROUP BY clip_id HAVING sum(amount_micros) <> 0`,
  "transactions out of balance": `SELECT transaction_id FROM ledger_entries GROUP BY transaction_id
    HAVING sum(amount_micros) <> 0`,
  "balances that are not their ledger's fold": `SELECT b.account_id FROM balances b WHERE b.pending_micros <> 0
    OR b.posted_micros <> (SELECT sum(amount_micros) FROM ledger_entries e
      WHERE e.account_id = b.account_id AND e.book IN ('available','held'))`,
};

export class Books {
  readonly #database: DatabaseSync;

  constructor(home: string) {
    this.#database = new DatabaseSync(databaseFile(home), { readOnly: true, timeout: 5_000 });
  }

  /** What a runner holds a lease on just now. */
  heldBy(runnerId: string): Held[] {
    const rows = this.#database
      .prepare("SELECT id, attempt FROM clips WHERE runner_id = ? AND state IN ('leased','running')")
      .all(runnerId);
    return rows.map((row) => ({ clip: String(row.id), attempt: Number(row.attempt) }));
  }

  /** When some later attempt of the clip was leased, in milliseconds since 1970; null: never again. */
  leasedAgainAt({ clip, attempt }: Held): number | null {
    const row = this.#database
      .prepare("SELECT min(at_ms) AS at FROM clip_events WHERE clip_id = ? AND attempt > ? AND event = 'leased'")
      .get(clip, attempt);
    return typeof row?.at === "number" ? row.at : null;
  }

  audit(): Audit {
    const findings = Object.entries(NEVER).map(([what, sql]) => {
      return [what, Number(this.#database.prepare(count(sql)).get()?.n)] as const;
    });
    const states = this.#database.prepare("SELECT state, count(*) AS n FROM clips GROUP BY state").all();
    return {
      findings: Object.fromEntries(findings),
      states: Object.fromEntries(states.map((row) => [String(row.state), Number(row.n)])),
    };
  }

  close(): void {
    this.#database.close();
  }
}
