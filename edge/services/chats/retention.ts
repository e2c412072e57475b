// Replies are kept as long as webhook messages.
import { dropReplies, findOldestReply } from "../../../db/queries/chats/replies.ts";
import type { Ports } from "../ports.ts";

const DROPPED_PER_SWEEP = 200;
/** Nobody waits for it. */
const LOOK_AGAIN_MS = 6 * 3_600_000;

/** Returns when to come back, or null when nothing is kept. */
export async function forgetChats(ports: Pick<Ports, "db" | "clock" | "times">): Promise<number | null> {
  const now = ports.clock.now();
  const oldestMs = now - ports.times.messagesKeptMs;
  const dropped = await dropReplies(ports.db, oldestMs, DROPPED_PER_SWEEP);
  if (dropped === DROPPED_PER_SWEEP) return now;
  const oldest = await findOldestReply(ports.db);
  return oldest === null ? null : Math.max(oldest + ports.times.messagesKeptMs, now + LOOK_AGAIN_MS);
}
