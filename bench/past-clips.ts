// A past for a database: clips that succeeded over the last month, with their events and ledger rows, so that a
// benchmark can see what grows with them.
import { DatabaseSync } from "node:sqlite";
import { databaseFile } from "./d1-file.ts";

const MONTH_MS = 30 * 86_400_000;
const PRICE_MICROS = 408;

/** The edge must not be running. Each clip brings 4 events and 4 ledger rows. */
export function addFinishedClips(home: string, accountId: string, count: number): void {
  const database = new DatabaseSync(databaseFile(home));
  const firstMs = Date.now() - 1.1 * MONTH_MS;
  // Ids in the order of time, as ULIDs are, and before every real one.
  const numbers = `WITH RECURSIVE past(n, at) AS (
    SELECT 1, ${firstMs} UNION ALL SELECT n + 1, CAST(at + ${MONTH_MS / count} AS INTEGER) FROM past WHERE n < ${count})`;
  const id = (prefix: string) => `printf('${prefix}_00000000000000%012d', n)`;
  const insert = (table: string, columns: string, values: string) =>
    database.exec(`INSERT INTO ${table} (${columns}) ${numbers} SELECT ${values} FROM past`);
  database.exec("BEGIN");
  insert(
    "clips",
    `id, account_id, state, model, prompt, size, frames, steps, sampler, seed, price_micros, attempt, handed_back,
     lease_token, created_at_ms, started_at_ms, finished_at_ms`,
    `${id("clip")}, '${accountId}', 'succeeded', 'turboclip-demo', 'a past clip', '256x192', 33, 4, 'sde', n,
     ${PRICE_MICROS}, 1, 0, ${id("past")}, at, at + 1000, at + 9000`,
  );
  for (const [i, event] of ["queued", "leased", "started", "succeeded"].entries()) {
    insert(
      "clip_events",
      "id, clip_id, attempt, event, batch_id, at_ms",
      `${id(`evt_${i}`)}, ${id("clip")}, ${i === 0 ? 0 : 1}, '${event}', ${id(`batch_${i}`)}, at + ${i * 3_000}`,
    );
  }
  for (const [kind, from, to] of [
    ["hold", "available", "held"],
    ["capture", "held", "revenue"],
  ] as const) {
    for (const [book, amount] of [
      [from, -PRICE_MICROS],
      [to, PRICE_MICROS],
    ] as const) {
      insert(
        "ledger_entries",
        "transaction_id, book, account_id, clip_id, kind, amount_micros, at_ms",
        `${id(`txn_${kind}`)}, '${book}', '${accountId}', ${id("clip")}, '${kind}', ${amount}, at`,
      );
    }
  }
  database.exec("COMMIT");
  database.close();
}
