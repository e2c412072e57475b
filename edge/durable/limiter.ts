// The token buckets of one account's keys and browser tokens, in memory only: forgotten, each is full again, which costs
// at most one quota too many.
import { DurableObject } from "cloudflare:workers";
import type { RateLimit } from "../../shared/contract/rate-limits.ts";
import { type Bucket, drain, type Fill, isFull, measure, refill } from "../services/rate/bucket.ts";

/** One bucket that a request draws on. */
export interface Draw {
  readonly bucket: string;
  readonly limit: RateLimit;
}

export interface Drawn {
  /** False when one of the buckets was empty: then none was drawn on. */
  readonly allowed: boolean;
  /** In the order of the draws, after them. */
  readonly fills: readonly Fill[];
}

/** When there are as many, those that are full again are dropped. */
const MANY_BUCKETS = 2_000;

export class Limiter extends DurableObject<Env> {
  readonly #buckets = new Map<string, Bucket & { readonly limit: RateLimit }>();

  draw(draws: readonly Draw[]): Drawn {
    const now = Date.now();
    if (this.#buckets.size >= MANY_BUCKETS) this.#dropFull(now);
    const filled = draws.map(({ bucket, limit }) => refill(this.#buckets.get(bucket), limit, now));
    const allowed = filled.every(({ level }) => level >= 1);
    const left = allowed ? filled.map(drain) : filled;
    const fills = draws.map(({ bucket, limit }, i) => {
      const after = left[i] ?? refill(undefined, limit, now);
      this.#buckets.set(bucket, { ...after, limit });
      return measure(after, limit);
    });
    return { allowed, fills };
  }

  #dropFull(nowMs: number): void {
    for (const [name, bucket] of this.#buckets) {
      if (isFull(bucket, bucket.limit, nowMs)) this.#buckets.delete(name);
    }
  }
}
