// The fleet as an operator sees it: which runners live, which are drained, which are gone, and what each does.
import { listAttempts, listRunners, type RunnerRow } from "../../../db/queries/runners.ts";
import type { Fleet } from "../../../shared/contract/admin.ts";
import { timestamp } from "../clips/view.ts";
import type { Ports } from "../ports.ts";

/** Far more than one Dispatcher serves. */
export const MAX_RUNNERS = 5_000;
/** Eight engines each, which do one clip while they deliver another. */
const MAX_ATTEMPTS = 16 * MAX_RUNNERS;

/**
 * A runner polls or writes a heartbeat within every lease, so one that has not is dead: it was noticed when its
 * leases were. Which of its attempts are under way the database knows in any case.
 */
export function stateOf(row: RunnerRow, deadMs: number): Fleet["data"][number]["state"] {
  if (row.lastSeenMs === null) return "never_seen";
  if (row.lastSeenMs <= deadMs) return "dead";
  return row.drainedSinceMs === null ? "live" : "draining";
}

/** A runner that was last seen then, or before, is dead. */
export function deadSinceMs(ports: Pick<Ports, "clock" | "times">): number {
  return ports.clock.now() - ports.times.leaseMs;
}

export async function viewFleet(ports: Pick<Ports, "db" | "clock" | "times">): Promise<Fleet> {
  const deadMs = deadSinceMs(ports);
  const [rows, attempts] = await Promise.all([
    listRunners(ports.db, MAX_RUNNERS),
    listAttempts(ports.db, MAX_ATTEMPTS),
  ]);
  const byRunner = Map.groupBy(attempts, ({ runnerId }) => runnerId);
  const data = rows.map((row) => ({
    id: row.id,
    name: row.name,
    state: stateOf(row, deadMs),
    drained_since: row.drainedSinceMs === null ? null : timestamp(row.drainedSinceMs),
    last_seen_at: row.lastSeenMs === null ? null : timestamp(row.lastSeenMs),
    version: row.version,
    engine: row.engine,
    devices: [...row.devices],
    models: [...row.models],
    loaded_model: row.loadedModel,
    attempts: (byRunner.get(row.id) ?? []).map(({ id, attempt, model, progress, leaseUntilMs }) => ({
      clip_id: id,
      attempt,
      model,
      stage: progress?.stage ?? null,
      lease_until: timestamp(leaseUntilMs ?? 0),
    })),
  }));
  return { data };
}
