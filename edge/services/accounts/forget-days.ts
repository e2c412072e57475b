// Drops what was counted against the daily caps of accounts, keys, triggers and chats: as late as webhook messages,
// when no clip of the day is under way any more. Should one be, its end finds nothing to count down, which is right.
import { dropDays, findOldestDay } from "../../../db/queries/limits.ts";
import { DAY_MS, utcDay } from "../../../shared/days.ts";
import { HOUSEKEEPING_MS } from "../housekeeping.ts";
import type { Ports } from "../ports.ts";

const DROPPED_PER_SWEEP = 500;

/** Returns when to come back, or null when nothing is counted. */
export async function forgetDays(ports: Pick<Ports, "db" | "clock" | "times">): Promise<number | null> {
  const now = ports.clock.now();
  const keptMs = ports.times.messagesKeptMs + DAY_MS;
  const dropped = await dropDays(ports.db, utcDay(now - keptMs), DROPPED_PER_SWEEP);
  if (dropped === DROPPED_PER_SWEEP) return now;
  const oldest = await findOldestDay(ports.db);
  return oldest === null ? null : Math.max((oldest + 1) * DAY_MS + keptMs, now + HOUSEKEEPING_MS);
}
