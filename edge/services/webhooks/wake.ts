// Tells Outboxes that there is something to deliver: at once after the commit, and for wakes that were lost by the sweep.

import { findDueReplyLanes, findNextReplyDue, findReplyLanesOf } from "../../../db/queries/chats/replies.ts";
import type { Transition } from "../../../db/queries/transitions.ts";
import { findDueLanes, findLanesOf, findNextDue } from "../../../db/queries/webhooks/deliveries.ts";
import type { Lane } from "../../../db/schema.ts";
import type { Ports } from "../ports.ts";

/** A lane that is still due after this has lost its wake, or is slow; waking it twice does no harm. */
export const LOST_WAKE_MS = 30_000;
const LANES_PER_SWEEP = 200;

type Source = Pick<Ports, "db" | "clock" | "bell" | "outboxes">;

/** After a transition was committed. */
export async function wakeOutboxes(ports: Source, transition: Transition): Promise<void> {
  const events = [transition.eventId, transition.endEventId];
  const lanes = await Promise.all([findLanesOf(ports.db, events), findReplyLanesOf(ports.db, events)]);
  await wakeLanes(ports, lanes.flat());
}

/** The sweep is told as well: where no runner polls, nobody else would make it look for wakes that were lost. */
export async function wakeLanes(ports: Omit<Source, "db">, lanes: readonly Lane[]): Promise<void> {
  if (lanes.length === 0) return;
  await Promise.all([
    ports.bell.wakeBy(ports.clock.now() + LOST_WAKE_MS),
    ...lanes.map(async (lane) => await ports.outboxes.wake(lane)),
  ]);
}

/** Returns when to look again, or null when nothing waits. */
export async function wakeOverdue(ports: Pick<Ports, "db" | "clock" | "outboxes">): Promise<number | null> {
  const now = ports.clock.now();
  const lanes = await Promise.all([
    findDueLanes(ports.db, now - LOST_WAKE_MS, LANES_PER_SWEEP),
    findDueReplyLanes(ports.db, now - LOST_WAKE_MS, LANES_PER_SWEEP),
  ]);
  await Promise.all(lanes.flat().map((lane) => ports.outboxes.wake(lane)));
  const due = await Promise.all([findNextDue(ports.db, null), findNextReplyDue(ports.db, null)]);
  const next = due.filter((atMs) => atMs !== null);
  return next.length === 0 ? null : Math.max(Math.min(...next), now) + LOST_WAKE_MS;
}
