// What is kept of webhooks, and for how long.
import { dropMessages, findOldestMessage } from "../../../db/queries/webhooks/retention.ts";
import { HOUSEKEEPING_MS } from "../housekeeping.ts";
import type { Ports } from "../ports.ts";

const DROPPED_PER_SWEEP = 200;
/** A message whose time is over may still wait to be delivered: it was replayed. */
const WAITING_LOOK_MS = 6 * 3_600_000;

/** Drops messages whose time is over and that no delivery waits for. Returns when to come back, or null. */
export async function forgetMessages(ports: Pick<Ports, "db" | "clock" | "times">): Promise<number | null> {
  const now = ports.clock.now();
  const bornByMs = now - ports.times.messagesKeptMs;
  const dropped = await dropMessages(ports.db, bornByMs, DROPPED_PER_SWEEP);
  if (dropped === DROPPED_PER_SWEEP) return now;
  const oldest = await findOldestMessage(ports.db);
  if (oldest === null) return null;
  return oldest <= bornByMs
    ? now + WAITING_LOOK_MS
    : Math.max(oldest + ports.times.messagesKeptMs, now + HOUSEKEEPING_MS);
}
