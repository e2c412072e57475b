// A waiting clip's place in the queue, and when it can be expected to start.
import type { ClipRow } from "../../../db/queries/clips.ts";
import { countAhead, countServing, meanServiceMs } from "../../../db/queries/place.ts";
import type { Clip } from "../../../shared/contract/clips.ts";
import type { Ports } from "../ports.ts";
import { timestamp } from "./view.ts";

/** Further back than this nobody is counted: a get stays cheap in front of any queue. */
const MAX_COUNTED = 10_000;
const SERVICE_SAMPLE = 20;

type Source = Pick<Ports, "db" | "clock" | "times">;

/**
 * The estimate: the clips up to and with this one, at the mean time of the model's last clips, over the runners that
 * were seen within a lease. Null without such clips or runners. Orders that come later with an earlier turn, other
 * models of the same runners and clips that fail make it what it is, an estimate.
 */
export async function findPlace(ports: Source, row: ClipRow): Promise<Clip["queue"]> {
  if (row.state !== "queued" || row.startedAtMs !== null) return null;
  const { position, waitMs } = await expectPlace(ports, row);
  return { position, expected_start_at: waitMs === null ? null : timestamp(ports.clock.now() + waitMs) };
}

/** Where a clip of this turn stands, and how long it can be expected to wait. */
export async function expectPlace(
  ports: Source,
  clip: Pick<ClipRow, "model" | "turn" | "id">,
): Promise<{ readonly position: number; readonly waitMs: number | null }> {
  const [ahead, serviceMs, serving] = await Promise.all([
    countAhead(ports.db, clip, MAX_COUNTED),
    meanServiceMs(ports.db, clip.model, SERVICE_SAMPLE),
    countServing(ports.db, clip.model, ports.clock.now() - ports.times.leaseMs),
  ]);
  const position = ahead + 1;
  const known = serviceMs !== null && serving > 0;
  return { position, waitMs: known ? Math.round((position * serviceMs) / serving) : null };
}
