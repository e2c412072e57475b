// The latest progress of one clip, and who waits for the next, in memory only: heartbeats come every few seconds, and
// the database is written far less often. What is forgotten here comes again with the next heartbeat, or is read from
// the database by whoever waits.
import { DurableObject } from "cloudflare:workers";
import type { HeartbeatRequest } from "../../shared/contract/runner.ts";
import { latest } from "../services/leases/progress.ts";

/** More than this many wait for their time only: nobody watches one clip with so many eyes. */
const MAX_WOKEN = 1_000;

export class Feed extends DurableObject<Env> {
  #attempt = 0;
  #progress: HeartbeatRequest | null = null;
  #changes = 0;
  readonly #waiting = new Set<() => void>();

  put(attempt: number, progress: HeartbeatRequest): void {
    if (attempt < this.#attempt) return;
    this.#progress = attempt > this.#attempt ? progress : latest(this.#progress, progress);
    this.#attempt = attempt;
    this.nudge();
  }

  get(attempt: number): HeartbeatRequest | null {
    return attempt === this.#attempt ? this.#progress : null;
  }

  nudge(): void {
    this.#changes += 1;
    for (const wake of this.#waiting) wake();
  }

  /** The count of changes, as soon as it is another than `seen` or `waitMs` are over. */
  async watch(seen: number, waitMs: number): Promise<number> {
    if (seen === this.#changes && waitMs > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      if (this.#waiting.size < MAX_WOKEN) this.#waiting.add(resolve);
      const timer = setTimeout(resolve, waitMs);
      await promise;
      clearTimeout(timer);
      this.#waiting.delete(resolve);
    }
    return this.#changes;
  }
}
