// A D1Database over SQLite on disk that counts what its calls cost the database alone: no network, no worker. D1
// itself is SQLite behind one thread, so what adds up here is what one database has to give.
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";

const MIGRATIONS = resolve(import.meta.dirname, "../../db/migrations");

export interface Cost {
  readonly calls: number;
  readonly ms: number;
}

export class TimedD1 {
  readonly #sqlite: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #calls = 0;
  #ms = 0;

  constructor(file: string) {
    this.#sqlite = new DatabaseSync(file);
    // As D1 has it; a commit waits for the disk only at checkpoints.
    this.#sqlite.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON");
    const migrations = readdirSync(MIGRATIONS).filter((name) => name.endsWith(".sql"));
    for (const name of migrations.toSorted()) this.#sqlite.exec(readFileSync(join(MIGRATIONS, name), "utf8"));
  }

  get d1(): D1Database {
    return {
      prepare: (sql: string) => new Prepared(this, sql, []),
      batch: async (statements: Prepared[]) => this.time(() => this.#transaction(statements)),
    } as unknown as D1Database;
  }

  /** What the calls made meanwhile cost. */
  async costOf(work: () => Promise<unknown>): Promise<Cost> {
    const before = { calls: this.#calls, ms: this.#ms };
    await work();
    return { calls: this.#calls - before.calls, ms: this.#ms - before.ms };
  }

  time<T>(execute: () => T): T {
    const began = performance.now();
    try {
      return execute();
    } finally {
      this.#ms += performance.now() - began;
      this.#calls += 1;
    }
  }

  statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#sqlite.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  /** What the database fills on disk. */
  get bytes(): number {
    const sizes = this.#sqlite.prepare(
      "SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size",
    );
    return Number(sizes.get()?.bytes);
  }

  close(): void {
    this.#sqlite.close();
  }

  #transaction(statements: readonly Prepared[]): Answer[] {
    this.#sqlite.exec("BEGIN IMMEDIATE");
    try {
      const answers = statements.map((statement) => statement.execute());
      this.#sqlite.exec("COMMIT");
      return answers;
    } catch (error) {
      this.#sqlite.exec("ROLLBACK");
      throw error;
    }
  }
}

interface Answer {
  readonly success: true;
  readonly results: readonly unknown[];
  readonly meta: { readonly changes: number };
}

/** What drizzle uses of a D1PreparedStatement. */
class Prepared {
  readonly #database: TimedD1;
  readonly #sql: string;
  readonly #values: readonly SQLInputValue[];

  constructor(database: TimedD1, sql: string, values: readonly SQLInputValue[]) {
    this.#database = database;
    this.#sql = sql;
    this.#values = values;
  }

  bind(...values: SQLInputValue[]): Prepared {
    return new Prepared(this.#database, this.#sql, values);
  }

  async run(): Promise<Answer> {
    return this.#database.time(() => this.execute());
  }

  async all(): Promise<Answer> {
    return await this.run();
  }

  async raw(): Promise<unknown[][]> {
    const statement = this.#database.statement(this.#sql);
    return this.#database.time(() => {
      statement.setReturnArrays(true);
      const rows = statement.all(...this.#values) as unknown as unknown[][];
      statement.setReturnArrays(false);
      return rows;
    });
  }

  execute(): Answer {
    const statement = this.#database.statement(this.#sql);
    if (/^\s*(select|with)/i.test(this.#sql)) {
      return { success: true, results: statement.all(...this.#values), meta: { changes: 0 } };
    }
    const { changes } = statement.run(...this.#values);
    return { success: true, results: [], meta: { changes: Number(changes) } };
  }
}
