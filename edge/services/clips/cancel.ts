// Cancels a clip that has not ended: terminal at once and free; a runner that works on it learns of it at its
// next heartbeat. Against complete exactly one wins, because both start by testing the state.
import { eq } from "drizzle-orm";
import { cancel, findClipOf } from "../../../db/queries/clips.ts";
import { release } from "../../../db/queries/ledger.ts";
import { scheduleRemoval } from "../../../db/queries/retention.ts";
import { commit, recordEvent } from "../../../db/queries/transitions.ts";
import { clips } from "../../../db/schema.ts";
import type { Clip } from "../../../shared/contract/clips.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { AccountId, ClipId } from "../../../shared/ids.ts";
import { strayDueMs } from "../files/remove.ts";
import { newTransition } from "../identifiers.ts";
import type { Ports } from "../ports.ts";
import { wakeOutboxes } from "../webhooks/wake.ts";
import { noSuchClip } from "./get.ts";
import { NOWHERE, viewClip } from "./view.ts";

/** Cancelling again answers the same; a clip that ended otherwise is `not_cancellable`. */
export async function cancelClip(ports: Ports, accountId: AccountId, id: ClipId): Promise<Clip> {
  const transition = newTransition(ports, eq(clips.id, id));
  const cancelled = await commit(
    ports.db,
    cancel(ports.db, accountId, id, transition.atMs),
    recordEvent(ports.db, transition, "cancelled", null),
    [...release(ports.db, transition), scheduleRemoval(ports.db, transition, strayDueMs(transition.atMs, ports.times))],
  );
  if (cancelled) {
    await ports.feed.nudge(id);
    await wakeOutboxes(ports, transition);
  }
  const row = await findClipOf(ports.db, accountId, id);
  if (row === undefined) throw noSuchClip();
  if (row.state !== "cancelled") throw new ApiError("not_cancellable", `The clip has already ${row.state}.`);
  return await viewClip(ports, row, NOWHERE);
}
