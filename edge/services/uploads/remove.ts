// Removes uploads: at once for their owner, and by the sweep when their time is over. The bucket first, then the rows,
// so that a sweep that dies in between does it again.
import {
  deleteUpload,
  dropUploads,
  findDueUploads,
  findNextUploadRemoval,
  findUploadOf,
} from "../../../db/queries/uploads.ts";
import type { AccountId, UploadId } from "../../../shared/ids.ts";
import { strayDueMs } from "../files/remove.ts";
import { HOUSEKEEPING_MS } from "../housekeeping.ts";
import type { Ports } from "../ports.ts";
import { noSuchUpload, uploadKey } from "./view.ts";

/** Its URL may still be valid: the row stays until nothing can come back, and the sweep then removes what has. */
export async function removeUpload(
  ports: Pick<Ports, "db" | "clock" | "store" | "bell" | "times">,
  accountId: AccountId,
  id: UploadId,
): Promise<void> {
  const now = ports.clock.now();
  const row = await findUploadOf(ports.db, accountId, id, now);
  if (row === undefined) throw noSuchUpload();
  const dueAtMs = strayDueMs(row.createdAtMs, ports.times);
  if (!(await deleteUpload(ports.db, accountId, id, dueAtMs, now))) throw noSuchUpload();
  await ports.bell.wakeBy(dueAtMs);
  await ports.store.remove([uploadKey(id)]);
}

const PER_SWEEP = 500;

/** Returns when to come back, or null when none is kept. Safe to run at any time, twice, or late. */
export async function removeUploads(ports: Pick<Ports, "db" | "clock" | "store">): Promise<number | null> {
  const now = ports.clock.now();
  const due = await findDueUploads(ports.db, now, PER_SWEEP);
  if (due.length > 0) {
    await ports.store.remove(due.map(uploadKey));
    await dropUploads(ports.db, due);
  }
  if (due.length === PER_SWEEP) return now;
  const next = await findNextUploadRemoval(ports.db);
  return next === null ? null : Math.max(next, now + HOUSEKEEPING_MS);
}
