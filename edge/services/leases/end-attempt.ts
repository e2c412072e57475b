// Ends an attempt that did not succeed: the clip waits for its next one or, when it has had them all, has
// failed and its hold is released. A clip that kills its runner every time fails; it is not retried for ever.
import { eq } from "drizzle-orm";
import { type ClipError, fail, requeue } from "../../../db/queries/clips.ts";
import { release } from "../../../db/queries/ledger.ts";
import { scheduleRemoval } from "../../../db/queries/retention.ts";
import { commit, recordEnd, recordEvent, type Statement, type Transition } from "../../../db/queries/transitions.ts";
import { type ClipEvent, clips } from "../../../db/schema.ts";
import { strayDueMs } from "../files/remove.ts";
import { newTransition } from "../identifiers.ts";
import type { Ports } from "../ports.ts";
import { wakeOutboxes } from "../webhooks/wake.ts";
import type { AttemptRow } from "./attempt.ts";

export type EndSource = Pick<Ports, "db" | "clock" | "random" | "bell" | "feed" | "outboxes" | "times">;

export interface UnsuccessfulEnd {
  readonly event: Extract<ClipEvent, "lease_lost" | "attempt_failed" | "handed_back">;
  /** For operators; kept with the event. */
  readonly detail: string;
  /** What the customer reads if this was the last attempt. */
  readonly error: ClipError;
  readonly retryable: boolean;
  /** The clip came back unharmed: handed back, or its claim was never taken up. */
  readonly unharmed: boolean;
  /** Set when time is the reason: the attempt must still be overdue at this moment. */
  readonly overdueAtMs: number | null;
  /** What is committed with the clip's failure. */
  readonly along?: (transition: Transition) => readonly Statement[];
}

/** Attempts that come back unharmed do not count against the maximum, but only this many: nothing goes round for ever. */
const UNCOUNTED_HAND_BACKS = 10;

/** The clip's new state; null when the attempt had ended already, and nothing changed. */
export async function endAttempt(
  ports: EndSource,
  row: AttemptRow,
  end: UnsuccessfulEnd,
): Promise<"queued" | "failed" | null> {
  const uncounted = end.unharmed && row.handedBack < UNCOUNTED_HAND_BACKS;
  const counted = row.attempt - row.handedBack;
  const again = uncounted || (end.retryable && counted < ports.times.maxAttempts);
  const attempt = { token: row.leaseToken, overdueAtMs: end.overdueAtMs };
  // By the clip's id: a requeued clip has no token any more.
  const transition = newTransition(ports, eq(clips.id, row.id));
  const happened = recordEvent(ports.db, transition, end.event, end.detail);
  const removal = scheduleRemoval(ports.db, transition, strayDueMs(transition.atMs, ports.times));
  if (again) {
    const startedExpiresAtMs = transition.atMs + ports.times.queuedMs;
    const back = { handedBack: uncounted ? 1 : 0, startedExpiresAtMs } as const;
    const queued = await commit(ports.db, requeue(ports.db, attempt, back), happened, [removal]);
    if (!queued) return null;
    await ports.feed.nudge(row.id);
    await ports.bell.ring(row.model, row.startedAtMs === null ? row.expiresAtMs : startedExpiresAtMs);
    return "queued";
  }
  const failed = await commit(ports.db, fail(ports.db, attempt, end.error, transition.atMs), happened, [
    recordEnd(ports.db, transition, "failed", end.error.code),
    ...release(ports.db, transition),
    removal,
    ...(end.along?.(transition) ?? []),
  ]);
  if (!failed) return null;
  await ports.feed.nudge(row.id);
  await wakeOutboxes(ports, transition);
  return "failed";
}
