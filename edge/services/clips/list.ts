// An account's clips, newest first, by pages. A page looks through a bounded number of clips however few of them are
// asked for, so it may come back short, or empty, with a `next` to go on from.
import { findListed, findNthBefore } from "../../../db/queries/listing.ts";
import type { ClipPage, ListClips } from "../../../shared/contract/clips.ts";
import { type AccountId, type ClipId, firstIdAt } from "../../../shared/ids.ts";
import type { Ports } from "../ports.ts";
import { viewClip } from "./view.ts";

/** Clips that one page looks through. */
const LOOKED_THROUGH = 2_000;

type Source = Pick<Ports, "db" | "clock" | "digest" | "times" | "signingKeys" | "publicOrigin">;

export async function listClips(ports: Source, accountId: AccountId, wanted: ListClips): Promise<ClipPage> {
  const { limit, after, state, model, metadata } = wanted;
  const span = {
    accountId,
    from: firstAt(wanted.created_from),
    until: earlier(after ?? null, firstAt(wanted.created_until)),
  };
  const filter = { state: state ?? null, model: model ?? null, metadata };
  const rows = await findListed(ports.db, span, LOOKED_THROUGH, filter, limit + 1);
  const shown = rows.slice(0, limit);
  const data = await Promise.all(
    shown.map(async (row) => await viewClip(ports, row, { progress: row.progress, place: null })),
  );
  const next = rows.length > limit ? (shown.at(-1)?.id ?? null) : await findNthBefore(ports.db, span, LOOKED_THROUGH);
  return { data, next };
}

function firstAt(time: string | undefined): ClipId | null {
  return time === undefined ? null : firstIdAt("clip", Math.max(0, Date.parse(time)));
}

function earlier(a: ClipId | null, b: ClipId | null): ClipId | null {
  if (a === null || b === null) return a ?? b;
  return a < b ? a : b;
}
