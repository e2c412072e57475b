// Follows a clip: what it is now, and again whenever that changes, until it has ended or the time is up.
import type { Clip } from "../../../shared/contract/clips.ts";
import type { AccountId, ClipId } from "../../../shared/ids.ts";
import { isTerminal } from "../../../shared/states.ts";
import type { Ports } from "../ports.ts";
import { getClip } from "./get.ts";

/** A change that the feed forgot is found by then. */
const READ_AGAIN_MS = 5_000;
/** No seed has that many changes: the first watch answers at once. */
const NOT_SEEN = -1;

/** Names what an observer sees of a clip: another text, another sight. */
export function sightOf({ state, attempt, queue, progress }: Clip): string {
  const { stage, step, fraction } = progress ?? {};
  const hundredths = fraction === undefined ? "" : Math.floor(fraction * 100);
  return [state, attempt, queue?.position, stage, step, hundredths]
    .filter((part) => part !== undefined && part !== "")
    .join(".");
}

export interface Watch {
  readonly untilMs: number;
  /** Aborted: nobody looks any more. */
  readonly signal?: AbortSignal;
}

/** Throws not_found before it yields anything. The last clip yielded is the one that ended, or that the time left. */
export async function* watchClip(
  ports: Ports,
  accountId: AccountId,
  id: ClipId,
  { untilMs, signal }: Watch,
): AsyncGenerator<Clip, void> {
  let sight = "";
  // The count of changes comes before the clip: what changes in between is then seen as a change.
  for (let seen = await ports.feed.watch(id, NOT_SEEN, 0); ; ) {
    const clip = await getClip(ports, accountId, id);
    const now = sightOf(clip);
    if (now !== sight) yield clip;
    sight = now;
    const leftMs = untilMs - ports.clock.now();
    if (isTerminal(clip.state) || leftMs <= 0) return;
    seen = await ports.feed.watch(id, seen, Math.min(leftMs, READ_AGAIN_MS));
    if (signal?.aborted) return;
  }
}

/** The clip as it ends, or as it is when the time is up. */
export async function awaitClip(ports: Ports, accountId: AccountId, id: ClipId, waitMs: number): Promise<Clip> {
  const untilMs = ports.clock.now() + waitMs;
  let last: Clip | undefined;
  for await (const clip of watchClip(ports, accountId, id, { untilMs })) last = clip;
  if (last === undefined) throw new RangeError("a watched clip is seen at least once");
  return last;
}
