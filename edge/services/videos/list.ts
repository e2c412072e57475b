// An account's clips by pages in OpenAI's shape, newest or oldest first.
import { findPage } from "../../../db/queries/listing.ts";
import type { ListVideos, VideoPage } from "../../../shared/contract/videos.ts";
import type { AccountId } from "../../../shared/ids.ts";
import { viewClip } from "../clips/view.ts";
import type { Ports } from "../ports.ts";
import { viewVideo } from "./view.ts";

type Source = Pick<Ports, "db" | "clock" | "digest" | "times" | "signingKeys" | "publicOrigin">;

export async function listVideos(ports: Source, accountId: AccountId, wanted: ListVideos): Promise<VideoPage> {
  const { limit, order, after = null } = wanted;
  const rows = await findPage(ports.db, accountId, { after, order, limit: limit + 1 });
  const shown = rows.slice(0, limit);
  const data = await Promise.all(
    shown.map(async (row) => viewVideo(await viewClip(ports, row, { progress: row.progress, place: null }))),
  );
  return {
    object: "list",
    data,
    first_id: data.at(0)?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: rows.length > limit,
  };
}
