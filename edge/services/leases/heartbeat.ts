// A runner says that it is alive and how far it is. The first heartbeat acknowledges the claim and starts the
// clip; later ones extend the lease, and write only when less than half of it is left.
//
// The lease never reaches beyond the last progress plus the stall limit, so one deadline stands for silence
// and for stalling, and the sweep needs to look at nothing else.
import { eq } from "drizzle-orm";
import { extendLease, startRunning } from "../../../db/queries/clips.ts";
import { touchRunner } from "../../../db/queries/runners.ts";
import { commit, recordEvent } from "../../../db/queries/transitions.ts";
import { clips } from "../../../db/schema.ts";
import type { HeartbeatReply, HeartbeatRequest } from "../../../shared/contract/runner.ts";
import type { RunnerId } from "../../../shared/ids.ts";
import { isTerminal } from "../../../shared/states.ts";
import { newTransition } from "../identifiers.ts";
import type { Ports } from "../ports.ts";
import { wakeOutboxes } from "../webhooks/wake.ts";
import { type AttemptRef, type AttemptRow, findAttempt, leaseLost } from "./attempt.ts";
import { isFurther, latest } from "./progress.ts";

type Source = Pick<Ports, "db" | "clock" | "random" | "times" | "feed" | "bell" | "outboxes">;

export async function heartbeat(ports: Source, ref: AttemptRef, beat: HeartbeatRequest): Promise<HeartbeatReply> {
  const row = await findAttempt(ports, ref);
  if (row.state === "cancelled") return cancelled(row);
  if (isTerminal(row.state)) throw leaseLost();
  const untilMs = await keepAlive(ports, ref.runnerId, row, beat);
  if (untilMs === null) {
    // The clip moved between reading and writing: cancelled, taken back, or extended by another heartbeat.
    const now = await findAttempt(ports, ref);
    if (now.state === "cancelled") return cancelled(now);
    if (now.state !== "running") throw leaseLost();
    return { lease_until_ms: now.leaseUntilMs, cancel: false };
  }
  await ports.feed.put(row.id, row.attempt, beat);
  return { lease_until_ms: untilMs, cancel: false };
}

function cancelled(row: AttemptRow): HeartbeatReply {
  return { lease_until_ms: row.leaseUntilMs, cancel: true };
}

/** The lease's end after this heartbeat; null when the attempt was no longer as it was read. */
async function keepAlive(
  ports: Source,
  runnerId: RunnerId,
  row: AttemptRow,
  beat: HeartbeatRequest,
): Promise<number | null> {
  const now = ports.clock.now();
  const moved = row.progress === null || isFurther(beat, row.progress);
  const progressAtMs = moved ? now : (row.progressAtMs ?? now);
  const untilMs = Math.min(now + ports.times.leaseMs, progressAtMs + ports.times.stallMs);
  if (untilMs <= now) throw leaseLost();
  const extension = { untilMs, progress: latest(row.progress, beat) ?? beat, progressAtMs };
  const seen = touchRunner(ports.db, runnerId, now);
  if (row.state === "leased") {
    const transition = newTransition(ports, eq(clips.leaseToken, row.leaseToken));
    const first = startRunning(ports.db, row.leaseToken, extension, now);
    const started = await commit(ports.db, first, recordEvent(ports.db, transition, "started", null), [seen]);
    if (started) await wakeOutboxes(ports, transition);
    return started ? untilMs : null;
  }
  if (row.leaseUntilMs - now >= ports.times.leaseMs / 2) return row.leaseUntilMs;
  return (await extendLease(ports.db, row, extension, seen)) ? untilMs : null;
}
