// Tells Outboxes that there is something to deliver: at once after the commit, and for wakes that were lost by the sweep.

import type { Transition } from "../../../db/queries/transitions.ts";
import { findDueLanes, findLanesOf, findNextDue } from "../../../db/queries/webhooks/deliveries.ts";
import type { Lane } from "../../../db/schema.ts";
import type { Ports } from "../ports.ts";

/** A lane that is still due after this has lost its wake, or is slow; waking it twice does no harm. */
export const LOST_WAKE_MS = 30_000;
const LANES_PER_SWEEP = 200;

type Source = Pick<Ports, "db" | "outboxes">;

/** After a transition was committed. */
export async function wakeOutboxes(ports: Source, transition: Transition): Promise<void> {
  await wakeLanes(ports, await findLanesOf(ports.db, [transition.eventId, transition.endEventId]));
}

export async function wakeLanes(ports: Pick<Ports, "outboxes">, lanes: readonly Lane[]): Promise<void> {
  await Promise.all(lanes.map((lane) => ports.outboxes.wake(lane)));
}

/** Returns when to look again, or null when nothing waits. */
export async function wakeOverdue(ports: Source & Pick<Ports, "clock">): Promise<number | null> {
  const now = ports.clock.now();
  await wakeLanes(ports, await findDueLanes(ports.db, now - LOST_WAKE_MS, LANES_PER_SWEEP));
  const next = await findNextDue(ports.db, null);
  return next === null ? null : Math.max(next, now) + LOST_WAKE_MS;
}
