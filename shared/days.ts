// Days are UTC days, counted from 1970-01-01, as caps, usage and statements go by them.

export const DAY_MS = 86_400_000;

export function utcDay(timeMs: number): number {
  return Math.floor(timeMs / DAY_MS);
}

/** "2026-11-23". */
export function formatDay(day: number): string {
  return new Date(day * DAY_MS).toISOString().slice(0, 10);
}

/** When the UTC month of this time began. */
export function monthStartMs(timeMs: number): number {
  const at = new Date(timeMs);
  return Date.UTC(at.getUTCFullYear(), at.getUTCMonth(), 1);
}

/** When the UTC month after that of this time begins. */
export function nextMonthStartMs(timeMs: number): number {
  const at = new Date(timeMs);
  return Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + 1, 1);
}
