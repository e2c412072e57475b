// Seeds over threads. Each thread has its own copy of the edge, of its globals and of SQLite, so that nothing but
// the seed decides what happens in it.
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import type { SeedResult } from "./result.ts";
import type { Edit } from "./sources.ts";

const WORKER = join(import.meta.dirname, "worker.ts");

export interface PoolOptions {
  readonly edits?: readonly Edit[];
  readonly threads?: number;
  readonly keepTrace?: boolean;
  /** Told of every seed as it ends, in no order; false stops the run. */
  readonly ended: (result: SeedResult) => boolean;
}

/** Runs the seeds; rejects if a seed breaks the simulation itself, or a mutant's edits do not fit. */
export async function runSeeds(seeds: Iterable<number>, options: PoolOptions): Promise<void> {
  const { edits = [], threads = availableParallelism(), keepTrace = false, ended } = options;
  const left = seeds[Symbol.iterator]();
  let stopped = false;
  const thread = async (): Promise<void> => {
    const first = left.next();
    if (first.done === true || stopped) return;
    const worker = new Worker(WORKER, {
      workerData: { edits },
      execArgv: ["--disable-warning=ExperimentalWarning"],
    });
    try {
      for (let next: IteratorResult<number> = first; next.done !== true && !stopped; next = left.next()) {
        if (!ended(await simulateIn(worker, next.value, keepTrace))) stopped = true;
      }
    } finally {
      await worker.terminate();
    }
  };
  await Promise.all(Array.from({ length: threads }, thread));
}

async function simulateIn(worker: Worker, seed: number, keepTrace: boolean): Promise<SeedResult> {
  const ended = new AbortController();
  const { signal } = ended;
  const death = once(worker, "exit", { signal }).then(([code]) => {
    throw new Error(`the thread of seed ${seed} ended with ${String(code)}`);
  });
  const answer = once(worker, "message", { signal }).then(([result]) => result as SeedResult);
  worker.postMessage({ seed, keepTrace });
  try {
    return await Promise.race([answer, death]);
  } finally {
    ended.abort();
    await Promise.allSettled([answer, death]);
  }
}
