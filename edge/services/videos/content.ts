// The bytes of a finished video, for who has its key rather than a signed URL.
import { findClipOf } from "../../../db/queries/clips.ts";
import type { OutputKind } from "../../../shared/contract/runner.ts";
import type { VideoVariant } from "../../../shared/contract/videos.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { AccountId, ClipId } from "../../../shared/ids.ts";
import { publicState } from "../../../shared/states.ts";
import { noSuchClip } from "../clips/get.ts";
import { type DownloadAnswer, type FileRequest, serveFile } from "../files/download.ts";
import type { Ports } from "../ports.ts";
import { statusOf } from "./view.ts";

const KINDS = { video: "mp4", thumbnail: "poster" } as const satisfies Record<VideoVariant, OutputKind>;

/** Throws not_found while there is no content, expired once it is no longer kept, or range_not_satisfiable. */
export async function readContent(
  ports: Pick<Ports, "db" | "clock" | "store" | "times">,
  accountId: AccountId,
  { id, variant, ...request }: FileRequest & { readonly id: ClipId; readonly variant: VideoVariant },
): Promise<DownloadAnswer> {
  const row = await findClipOf(ports.db, accountId, id);
  if (row === undefined) throw noSuchClip();
  if (row.outputs === null || row.outputExpiresAtMs === null) {
    const status = statusOf({ state: publicState(row.state) });
    throw new ApiError("not_found", `The video is ${status}; it has content once it is completed.`);
  }
  if (row.outputExpiresAtMs <= ports.clock.now()) throw new ApiError("expired", "This video is no longer kept.");
  return await serveFile(ports, { clipId: id, attempt: row.attempt, kind: KINDS[variant] }, request);
}
