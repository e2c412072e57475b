// A clip as it stands: its state from the database, its progress from whoever knows the latest.
import { type ClipRow, findClipOf } from "../../../db/queries/clips.ts";
import type { Clip, Progress } from "../../../shared/contract/clips.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { AccountId, ClipId } from "../../../shared/ids.ts";
import { latest } from "../leases/progress.ts";
import type { Ports } from "../ports.ts";
import { findPlace } from "./place.ts";
import { viewClip } from "./view.ts";

/** One answer for absent and foreign clips alike; it does not repeat the id, so that both are the same bytes. */
export function noSuchClip(): ApiError {
  return new ApiError("not_found", "There is no such clip.");
}

export async function getClip(ports: Ports, accountId: AccountId, id: ClipId): Promise<Clip> {
  const row = await findClipOf(ports.db, accountId, id);
  if (row === undefined) throw noSuchClip();
  const [progress, place] = await Promise.all([currentProgress(ports, row), findPlace(ports, row)]);
  return await viewClip(ports, row, { progress, place });
}

async function currentProgress(ports: Pick<Ports, "feed">, row: ClipRow): Promise<Progress | null> {
  if (row.state !== "running") return null;
  const fresh = await ports.feed.get(row.id, row.attempt);
  return latest(row.progress, fresh);
}
