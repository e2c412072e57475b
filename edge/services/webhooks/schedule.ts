// When to try again: the schedule that Standard Webhooks proposes, each wait up to a fifth longer by chance so that a
// receiver that comes back is not met by everybody at once.
import type { Random } from "../ports.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
export const WAITS_MS: readonly number[] = [
  5 * SECOND,
  5 * MINUTE,
  30 * MINUTE,
  2 * HOUR,
  5 * HOUR,
  10 * HOUR,
  14 * HOUR,
  20 * HOUR,
  24 * HOUR,
];
export const JITTER = 0.2;
export const MAX_RETRY_AFTER_MS = 24 * HOUR;

/** Seconds or an HTTP date (RFC 9110, 10.2.3) as milliseconds from now, bounded; 0 for anything else. */
export function parseRetryAfter(value: string | null, nowMs: number): number {
  if (value === null) return 0;
  const ms = /^\d{1,9}$/.test(value) ? Number(value) * SECOND : Date.parse(value) - nowMs;
  return Number.isNaN(ms) ? 0 : Math.min(Math.max(0, ms), MAX_RETRY_AFTER_MS);
}

/** How long to wait after this many attempts have failed; null when there is to be none after them. */
export function waitAfter(failures: number, retryAfterMs: number, random: Random): number | null {
  const wait = WAITS_MS[failures - 1];
  if (wait === undefined) return null;
  const [high = 0, low = 0] = random.bytes(2);
  const share = (high * 256 + low) / 65_536;
  return Math.max(Math.floor(wait * (1 + JITTER * share)), retryAfterMs);
}
