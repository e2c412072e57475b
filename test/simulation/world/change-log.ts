// Which rows a commit changed, told by the database itself: temporary triggers on every table note the row as it
// was left. They are the auditor's eyes and do not depend on what the code under test believes it wrote.
//
// changes(), on which the transitions' second statement rests, does not count what triggers write.
import type { DatabaseSync, StatementSync } from "node:sqlite";

export interface RowChange {
  readonly table: string;
  readonly rowid: number;
  /** The row after the commit; null when it was deleted. */
  readonly row: Readonly<Record<string, unknown>> | null;
  /** The row in JSON, as the trace shows it. */
  readonly text: string;
}

interface Entry {
  readonly tbl: string;
  readonly row_id: number;
  readonly body: string | null;
}

export class ChangeLog {
  readonly #read: StatementSync;
  readonly #clear: StatementSync;

  constructor(sqlite: DatabaseSync) {
    sqlite.exec("CREATE TEMP TABLE change_log (at INTEGER PRIMARY KEY, tbl TEXT, row_id INTEGER, body TEXT)");
    const tables = sqlite.prepare("select name from sqlite_master where type = 'table' order by name").all();
    for (const { name } of tables as { name: string }[]) {
      const columns = sqlite.prepare(`select name from pragma_table_info('${name}')`).all() as { name: string }[];
      const body = `json_object(${columns.map((column) => `'${column.name}', new."${column.name}"`).join(", ")})`;
      for (const event of ["INSERT", "UPDATE", "DELETE"] as const) {
        const values = event === "DELETE" ? "old.rowid, null" : `new.rowid, ${body}`;
        sqlite.exec(`CREATE TEMP TRIGGER log_${name}_${event} AFTER ${event} ON main."${name}"
          BEGIN INSERT INTO change_log (tbl, row_id, body) VALUES ('${name}', ${values}); END`);
      }
    }
    this.#read = sqlite.prepare("select tbl, row_id, body from change_log order by at");
    this.#clear = sqlite.prepare("delete from change_log");
  }

  /** The changes since the last call, in order. */
  take(): RowChange[] {
    const entries = this.#read.all() as unknown as Entry[];
    if (entries.length === 0) return [];
    this.#clear.run();
    return entries.map(({ tbl, row_id, body }) => ({
      table: tbl,
      rowid: row_id,
      row: body === null ? null : (JSON.parse(body) as Record<string, unknown>),
      text: `${tbl} ${row_id} ${body ?? "deleted"}`,
    }));
  }
}
