// Replies are kept as long as webhook messages, daily counts until a clip of their day can no longer end.
import { dropReplies, findOldestReply } from "../../../db/queries/chats/replies.ts";
import { dropSpend } from "../../../db/queries/chats/spend.ts";
import { DAY_MS, utcDay } from "../../../shared/days.ts";
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
  await dropSpend(ports.db, utcDay(oldestMs - DAY_MS));
  const oldest = await findOldestReply(ports.db);
  return oldest === null ? null : Math.max(oldest + ports.times.messagesKeptMs, now + LOOK_AGAIN_MS);
}
