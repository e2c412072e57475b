// Takes back every attempt whose time is up: claimed but never acknowledged, gone silent, or stalled.
import { findNextDeadline, findOverdue } from "../../../db/queries/clips.ts";
import type { Ports } from "../ports.ts";
import { settleEach } from "../settle.ts";
import type { AttemptRow } from "./attempt.ts";
import { type EndSource, endAttempt } from "./end-attempt.ts";

const PER_SWEEP = 100;

function reason(row: AttemptRow, times: Ports["times"]): string {
  if (row.state === "leased") return "never acknowledged";
  const stalled = row.progressAtMs !== null && row.leaseUntilMs >= row.progressAtMs + times.stallMs;
  return stalled ? "no progress" : "no heartbeat";
}

/**
 * Returns when to sweep next, or null when no attempt is under way. Safe to run at any time, twice, or late.
 * One attempt that cannot be ended does not keep the others; its error is thrown when they are done.
 */
export async function sweepLeases(ports: EndSource): Promise<number | null> {
  const overdueAtMs = ports.clock.now();
  const overdue = await findOverdue(ports.db, overdueAtMs, PER_SWEEP);
  await settleEach(overdue, async ({ leaseToken, leaseUntilMs, ...row }) => {
    if (leaseToken === null || leaseUntilMs === null) return;
    await takeBack(ports, { ...row, leaseToken, leaseUntilMs }, overdueAtMs);
  });
  return await findNextDeadline(ports.db);
}

/** A claim that nobody took up tells of its runner, not of the clip; one that was taken up may be the clip's fault. */
async function takeBack(ports: EndSource, attempt: AttemptRow, overdueAtMs: number): Promise<void> {
  const unharmed = attempt.state === "leased";
  await endAttempt(ports, attempt, {
    event: "lease_lost",
    detail: reason(attempt, ports.times),
    error: unharmed
      ? { code: "no_capacity", message: "The clip was given up after being claimed too often without being started." }
      : {
          code: "engine_failed",
          message: `The clip was given up after ${attempt.attempt} attempts that did not finish.`,
        },
    retryable: true,
    unharmed,
    overdueAtMs,
  });
}
