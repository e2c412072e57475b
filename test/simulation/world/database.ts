// D1's shape over a real SQLite: the same statements, constraints, triggers and foreign keys, and D1's one kind
// of transaction, the batch. Calls take time, fail before they reach the database, or commit and lose the answer.
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import type { Faults } from "../faults.ts";
import type { Random } from "../random.ts";
import { readSource } from "../sources.ts";
import { ChangeLog, type RowChange } from "./change-log.ts";
import { currentOperation, type Operation } from "./operation.ts";
import type { Schedule } from "./schedule.ts";
import { migrations, SqliteD1 } from "./sqlite-d1.ts";

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
  readonly #shape = new SqliteD1(this.#sqlite, async (execute) => await this.call(execute));
  readonly #log: ChangeLog;
  readonly #tools: Tools;

  constructor(tools: Tools) {
    this.#tools = tools;
    this.#sqlite.exec("PRAGMA foreign_keys = ON");
    for (const migration of migrations()) this.#sqlite.exec(readSource(migration));
    this.#log = new ChangeLog(this.#sqlite);
  }

  get d1(): D1Database {
    return this.#shape.d1;
  }

  /** For the auditor's own questions; costs no time and never fails. */
  query<T>(sql: string, ...values: SQLInputValue[]): T[] {
    return this.#shape.statement(sql).all(...values) as T[];
  }

  close(): void {
    this.#sqlite.close();
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
}

/** What code that is dead waits for. */
export function never<T>(): Promise<T> {
  return new Promise<T>(() => {});
}
