// D1's shape over a real SQLite: the same statements, constraints, triggers and foreign keys, and D1's one kind
// of transaction, the batch. Calls take time, fail before they reach the database, or commit and lose the answer.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import type { Faults } from "../faults.ts";
import type { Random } from "../random.ts";
import { readSource } from "../sources.ts";
import { ChangeLog, type RowChange } from "./change-log.ts";
import { currentOperation, type Operation } from "./operation.ts";
import type { Schedule } from "./schedule.ts";

const MIGRATIONS = join(import.meta.dirname, "../../../db/migrations");
const LOST = "D1_ERROR: Network connection lost.";
/** Long enough for a lease to run out meanwhile. */
const SLOW_MS = [2_000, 40_000] as const;

interface Tools {
  readonly schedule: Schedule;
  readonly random: Random;
  readonly faults: Faults;
  /** Told of every commit that changed something, at the moment of the commit. */
  readonly aborted: (operation: Operation) => void;
  readonly committed: (operation: Operation, changes: readonly RowChange[]) => void;
}

export class SimulatedDatabase {
  readonly #sqlite = new DatabaseSync(":memory:");
  readonly #statements = new Map<string, StatementSync>();
  readonly #log: ChangeLog;
  readonly #tools: Tools;

  constructor(tools: Tools) {
    this.#tools = tools;
    this.#sqlite.exec("PRAGMA foreign_keys = ON");
    const migrations = readdirSync(MIGRATIONS).filter((name) => name.endsWith(".sql"));
    for (const name of migrations.toSorted()) this.#sqlite.exec(readSource(join(MIGRATIONS, name)));
    this.#log = new ChangeLog(this.#sqlite);
  }

  /** What drizzle needs of a D1Database. */
  get d1(): D1Database {
    return {
      prepare: (sql: string) => new Prepared(this, sql, []),
      batch: async (statements: Prepared[]) =>
        await this.call(() => this.#transaction(() => statements.map((s) => s.execute()))),
    } as unknown as D1Database;
  }

  /** For the auditor's own questions; costs no time and never fails. */
  query<T>(sql: string, ...values: SQLInputValue[]): T[] {
    return this.statement(sql).all(...values) as T[];
  }

  close(): void {
    this.#sqlite.close();
  }

  statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#sqlite.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  /** One call from the edge: it runs at once, and its answer takes its time, if it comes. */
  async call<T>(execute: () => T): Promise<T> {
    const operation = currentOperation();
    const { schedule, random, faults } = this.#tools;
    if (operation.dead) return await never();
    if (faults.strikes("database_unreachable")) {
      operation.faults += 1;
      await schedule.sleep(random.between(1, 1_000));
      throw new Error(LOST);
    }
    const result = this.#execute(operation, execute);
    if (faults.strikes("edge_killed")) {
      operation.dead = true;
      operation.onDeath();
      return await never();
    }
    if (faults.strikes("database_slow")) {
      operation.faults += 1;
      await schedule.sleep(random.between(...SLOW_MS));
    } else if (random.chance(0.7)) {
      await schedule.sleep(random.between(1, random.chance(0.15) ? 600 : 15));
    }
    if (operation.dead) return await never();
    if (faults.strikes("database_answer_lost")) {
      operation.faults += 1;
      throw new Error(LOST);
    }
    if (result.kind === "failed") throw new Error(`D1_ERROR: ${result.message}: SQLITE_CONSTRAINT`);
    return result.value;
  }

  #execute<T>(
    operation: Operation,
    execute: () => T,
  ): { readonly kind: "done"; readonly value: T } | { readonly kind: "failed"; readonly message: string } {
    try {
      const value = execute();
      const changes = this.#log.take();
      if (changes.length > 0) this.#tools.committed(operation, changes);
      return { kind: "done", value };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.#tools.aborted(operation);
      return { kind: "failed", message };
    }
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

/** What code that is dead waits for. */
export function never<T>(): Promise<T> {
  return new Promise<T>(() => {});
}

interface Result {
  readonly success: true;
  readonly results: unknown[];
  readonly meta: { readonly changes: number };
}

/** A statement with its values, as D1PreparedStatement has it. */
class Prepared {
  readonly #database: SimulatedDatabase;
  readonly #sql: string;
  readonly #values: readonly SQLInputValue[];

  constructor(database: SimulatedDatabase, sql: string, values: readonly SQLInputValue[]) {
    this.#database = database;
    this.#sql = sql;
    this.#values = values;
  }

  bind(...values: SQLInputValue[]): Prepared {
    return new Prepared(this.#database, this.#sql, values);
  }

  async run(): Promise<Result> {
    return await this.#database.call(() => this.execute());
  }

  async all(): Promise<Result> {
    return await this.#database.call(() => this.execute());
  }

  async raw(): Promise<unknown[][]> {
    return await this.#database.call(() => {
      const statement = this.#database.statement(this.#sql);
      statement.setReturnArrays(true);
      const rows = statement.all(...this.#values) as unknown as unknown[][];
      statement.setReturnArrays(false);
      return rows;
    });
  }

  execute(): Result {
    const statement = this.#database.statement(this.#sql);
    if (/^\s*(select|with)/i.test(this.#sql)) {
      return { success: true, results: statement.all(...this.#values), meta: { changes: 0 } };
    }
    const { changes } = statement.run(...this.#values);
    return { success: true, results: [], meta: { changes: Number(changes) } };
  }
}
