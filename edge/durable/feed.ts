// The latest progress of one clip, in memory only: heartbeats come every few seconds, and the database is
// written far less often. What is forgotten here comes again with the next heartbeat.
import { DurableObject } from "cloudflare:workers";
import type { HeartbeatRequest } from "../../shared/contract/runner.ts";
import { latest } from "../services/leases/progress.ts";

export class Feed extends DurableObject<Env> {
  #attempt = 0;
  #progress: HeartbeatRequest | null = null;

  put(attempt: number, progress: HeartbeatRequest): void {
    if (attempt < this.#attempt) return;
    this.#progress = attempt > this.#attempt ? progress : latest(this.#progress, progress);
    this.#attempt = attempt;
  }

  get(attempt: number): HeartbeatRequest | null {
    return attempt === this.#attempt ? this.#progress : null;
  }
}
