// A D1Database over SQLite on disk that counts what its calls cost the database alone: no network, no worker. D1
// itself is SQLite behind one thread, so what adds up here is what one database has to give.
import { readFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { migrations, SqliteD1 } from "../../test/simulation/world/sqlite-d1.ts";

export interface Cost {
  readonly calls: number;
  readonly ms: number;
}

export class TimedD1 {
  readonly #sqlite: DatabaseSync;
  readonly #shape: SqliteD1;
  #calls = 0;
  #ms = 0;

  constructor(file: string) {
    this.#sqlite = new DatabaseSync(file);
    // As D1 has it; a commit waits for the disk only at checkpoints.
    this.#sqlite.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON");
    for (const migration of migrations()) this.#sqlite.exec(readFileSync(migration, "utf8"));
    this.#shape = new SqliteD1(this.#sqlite, async (execute) => this.#time(execute));
  }

  get d1(): D1Database {
    return this.#shape.d1;
  }

  /** What the calls made meanwhile cost. */
  async costOf(work: () => Promise<unknown>): Promise<Cost> {
    const before = { calls: this.#calls, ms: this.#ms };
    await work();
    return { calls: this.#calls - before.calls, ms: this.#ms - before.ms };
  }

  #time<T>(execute: () => T): T {
    const began = performance.now();
    try {
      return execute();
    } finally {
      this.#ms += performance.now() - began;
      this.#calls += 1;
    }
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
}
