// Removes the bytes of attempts that have ended: outputs when their time is over, and what unsuccessful attempts left.
// The bucket first, then the rows: a sweep that dies in between removes again what is gone already, which does no
// harm, and no row ever claims an output that is not there before its time.
import { findDueRemovals, findNextRemoval, settleRemovals } from "../../../db/queries/retention.ts";
import { OUTPUT_KINDS } from "../../../shared/contract/runner.ts";
import { HOUSEKEEPING_MS } from "../housekeeping.ts";
import type { Ports } from "../ports.ts";
import { outputKey } from "./output.ts";

/** Three objects each; a bucket takes 1,000 keys in one call. */
const PER_SWEEP = 200;

/** Returns when to come back, or null when no bytes are kept. Safe to run at any time, twice, or late. */
export async function removeOutputs(ports: Pick<Ports, "db" | "clock" | "store">): Promise<number | null> {
  const now = ports.clock.now();
  const due = await findDueRemovals(ports.db, now, PER_SWEEP);
  if (due.length > 0) {
    await ports.store.remove(
      due.flatMap(({ clipId, attempt }) => OUTPUT_KINDS.map((kind) => outputKey(clipId, attempt, kind))),
    );
    await settleRemovals(ports.db, due, now);
  }
  if (due.length === PER_SWEEP) return now;
  const next = await findNextRemoval(ports.db);
  return next === null ? null : Math.max(next, now + HOUSEKEEPING_MS);
}

/**
 * When what an unsuccessful attempt has left may be removed: its last URL may have been signed as it ended, and a PUT
 * that began while the URL was valid takes its time.
 */
export function strayDueMs(endedAtMs: number, times: Ports["times"]): number {
  return endedAtMs + 2 * times.uploadUrlMs;
}
