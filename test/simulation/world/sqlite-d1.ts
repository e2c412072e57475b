// What drizzle uses of a D1Database, over SQLite: prepared statements, and the batch, D1's one kind of transaction. How
// a call reaches the database is for whoever makes one: it is given what to execute.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";

const MIGRATIONS = join(import.meta.dirname, "../../../db/migrations");

/** The files of db/migrations, in their order. */
export function migrations(): string[] {
  return readdirSync(MIGRATIONS)
    .filter((name) => name.endsWith(".sql"))
    .toSorted()
    .map((name) => join(MIGRATIONS, name));
}

type Call = <T>(execute: () => T) => Promise<T>;

export class SqliteD1 {
  readonly call: Call;
  readonly #sqlite: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(sqlite: DatabaseSync, call: Call) {
    this.#sqlite = sqlite;
    this.call = call;
  }

  get d1(): D1Database {
    return {
      prepare: (sql: string) => new Prepared(this, sql, []),
      batch: async (statements: Prepared[]) =>
        await this.call(() => this.#transaction(() => statements.map((statement) => statement.execute()))),
    } as unknown as D1Database;
  }

  statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#sqlite.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #transaction<T>(run: () => T): T {
    this.#sqlite.exec("BEGIN IMMEDIATE");
    try {
      const result = run();
      this.#sqlite.exec("COMMIT");
      return result;
    } catch (error) {
      this.#sqlite.exec("ROLLBACK");
      throw error;
    }
  }
}

interface Result {
  readonly success: true;
  readonly results: unknown[];
  readonly meta: { readonly changes: number };
}

/** A statement with its values, as D1PreparedStatement has it. */
class Prepared {
  readonly #shape: SqliteD1;
  readonly #sql: string;
  readonly #values: readonly SQLInputValue[];

  constructor(shape: SqliteD1, sql: string, values: readonly SQLInputValue[]) {
    this.#shape = shape;
    this.#sql = sql;
    this.#values = values;
  }

  bind(...values: SQLInputValue[]): Prepared {
    return new Prepared(this.#shape, this.#sql, values);
  }

  async run(): Promise<Result> {
    return await this.#shape.call(() => this.execute());
  }

  async all(): Promise<Result> {
    return await this.#shape.call(() => this.execute());
  }

  async raw(): Promise<unknown[][]> {
    return await this.#shape.call(() => {
      const statement = this.#shape.statement(this.#sql);
      statement.setReturnArrays(true);
      const rows = statement.all(...this.#values) as unknown as unknown[][];
      statement.setReturnArrays(false);
      return rows;
    });
  }

  execute(): Result {
    const statement = this.#shape.statement(this.#sql);
    if (/^\s*(select|with)/i.test(this.#sql)) {
      return { success: true, results: statement.all(...this.#values), meta: { changes: 0 } };
    }
    if (/\breturning\b/i.test(this.#sql)) {
      const results = statement.all(...this.#values);
      return { success: true, results, meta: { changes: results.length } };
    }
    const { changes } = statement.run(...this.#values);
    return { success: true, results: [], meta: { changes: Number(changes) } };
  }
}
