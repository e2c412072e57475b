// Deletes a clip: what it said and showed is erased from the database and the bucket, what it cost stays in the ledger.
import { eq } from "drizzle-orm";
import { eraseClip, findErasable, markDeleted } from "../../../db/queries/erasure.ts";
import { commit, recordEvent } from "../../../db/queries/transitions.ts";
import { clips } from "../../../db/schema.ts";
import { OUTPUT_KINDS } from "../../../shared/contract/runner.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { AccountId, ClipId } from "../../../shared/ids.ts";
import { isTerminal } from "../../../shared/states.ts";
import { outputKey } from "../files/output.ts";
import { strayDueMs } from "../files/remove.ts";
import { newTransition } from "../identifiers.ts";
import type { Ports } from "../ports.ts";
import { noSuchClip } from "./get.ts";

/** An order's clip and its kept answer are stamped in one request. */
const ANSWERED_WITHIN_MS = 60_000;

/**
 * Deleting again changes nothing and answers the same, so that a deletion that failed half-way is simply repeated: the
 * rows go first, and the sweep removes what is left in the bucket should nobody repeat it. Throws not_found, or
 * not_deletable for a clip that has not ended.
 */
export async function deleteClip(ports: Ports, accountId: AccountId, id: ClipId): Promise<void> {
  const row = await findErasable(ports.db, accountId, id);
  if (row === undefined) throw noSuchClip();
  if (!isTerminal(row.state)) {
    throw new ApiError("not_deletable", `The clip has not ended; cancel it first (POST /v1/clips/${id}/cancel).`);
  }
  const transition = newTransition(ports, eq(clips.id, id));
  const bytesDueMs = Math.max(transition.atMs, strayDueMs(row.finishedAtMs ?? transition.atMs, ports.times));
  await commit(
    ports.db,
    markDeleted(ports.db, accountId, id, transition.atMs),
    recordEvent(ports.db, transition, "deleted", null),
    eraseClip(ports.db, transition, row, { answeredWithinMs: ANSWERED_WITHIN_MS, bytesDueMs }),
  );
  const attempts = Array.from({ length: row.attempt }, (_, before) => before + 1);
  const keys = attempts.flatMap((attempt) => OUTPUT_KINDS.map((kind) => outputKey(id, attempt, kind)));
  if (keys.length > 0) await ports.store.remove(keys);
  await ports.bell.wakeBy(bytesDueMs);
}
