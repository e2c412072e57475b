// Tells Outboxes that there is something to deliver: at once after the commit, and for wakes that were lost by the sweep.

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
  await wakeLanes(ports, await findLanesOf(ports.db, [transition.eventId, transition.endEventId]));
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
  const lanes = await findDueLanes(ports.db, now - LOST_WAKE_MS, LANES_PER_SWEEP);
  await Promise.all(lanes.map((lane) => ports.outboxes.wake(lane)));
  const next = await findNextDue(ports.db, null);
  return next === null ? null : Math.max(next, now) + LOST_WAKE_MS;
}
