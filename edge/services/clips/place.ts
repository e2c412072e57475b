// A waiting clip's place in the queue, and when it can be expected to start.
import type { ClipRow } from "../../../db/queries/clips.ts";
import { countAhead, countServing, meanServiceMs } from "../../../db/queries/place.ts";
import type { Clip } from "../../../shared/contract/clips.ts";
import type { Ports } from "../ports.ts";
import { timestamp } from "./view.ts";

/** Further back than this nobody is counted: a get stays cheap in front of any queue. */
const MAX_COUNTED = 10_000;
const SERVICE_SAMPLE = 20;

/**
 * The estimate: the clips up to and with this one, at the mean time of the model's last clips, over the runners that
 * were seen within a lease. Null without such clips or runners. Orders that come later with an earlier turn, other
 * models of the same runners and clips that fail make it what it is, an estimate.
 */
export async function findPlace(ports: Pick<Ports, "db" | "clock" | "times">, row: ClipRow): Promise<Clip["queue"]> {
  if (row.state !== "queued" || row.startedAtMs !== null) return null;
  const now = ports.clock.now();
  const [ahead, serviceMs, serving] = await Promise.all([
    countAhead(ports.db, row, MAX_COUNTED),
    meanServiceMs(ports.db, row.model, SERVICE_SAMPLE),
    countServing(ports.db, row.model, now - ports.times.leaseMs),
  ]);
  const position = ahead + 1;
  const known = serviceMs !== null && serving > 0;
  return {
    position,
    expected_start_at: known ? timestamp(now + Math.round((position * serviceMs) / serving)) : null,
  };
}
