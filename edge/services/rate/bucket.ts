// A token bucket: so many requests at once, refilled evenly; what is full says nothing and may be forgotten.
import type { RateLimit } from "../../../shared/contract/rate-limits.ts";

export interface Bucket {
  /** Requests that it would let through now, as a fraction too. */
  readonly level: number;
  readonly atMs: number;
}

export interface Fill {
  /** Whole requests that are left. */
  readonly remaining: number;
  /** Until it is full again. */
  readonly fullInMs: number;
  /** Until it lets one more through; 0 if it would now. */
  readonly nextInMs: number;
}

function perMs({ quota, windowS }: RateLimit): number {
  return quota / (windowS * 1_000);
}

/** What has trickled in since. A clock that went back adds nothing. */
export function refill(bucket: Bucket | undefined, limit: RateLimit, nowMs: number): Bucket {
  if (bucket === undefined) return { level: limit.quota, atMs: nowMs };
  const sinceMs = Math.max(0, nowMs - bucket.atMs);
  return { level: Math.min(limit.quota, bucket.level + sinceMs * perMs(limit)), atMs: nowMs };
}

export function drain(bucket: Bucket): Bucket {
  return { ...bucket, level: bucket.level - 1 };
}

export function measure({ level }: Bucket, limit: RateLimit): Fill {
  const until = (wanted: number) => Math.max(0, Math.ceil((wanted - level) / perMs(limit)));
  return { remaining: Math.floor(level), fullInMs: until(limit.quota), nextInMs: until(1) };
}

export function isFull(bucket: Bucket, limit: RateLimit, nowMs: number): boolean {
  return refill(bucket, limit, nowMs).level >= limit.quota;
}
