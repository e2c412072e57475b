// One customer's view over time, as its program puts it together from the answers that reach it (I3).
import type { Clip } from "../../../shared/contract/clips.ts";
import type { ClipId } from "../../../shared/ids.ts";
import { must } from "./violation.ts";

const RANK: Readonly<Record<Clip["state"], number>> = {
  queued: 0,
  running: 1,
  succeeded: 2,
  failed: 2,
  cancelled: 2,
  expired: 2,
};

interface Seen {
  readonly rank: number;
  readonly state: Clip["state"];
  readonly attempt: number;
}

/** A mark in time: what was known when a question was asked. */
export type Mark = ReadonlyMap<string, Seen>;

export class Observer {
  #seen = new Map<string, Seen>();

  /** To be called before a question is sent: its answer must not be older than what is known by then. */
  begin(): Mark {
    return new Map(this.#seen);
  }

  created(id: ClipId): void {
    if (!this.#seen.has(id)) this.#seen.set(id, { rank: 0, state: "queued", attempt: 0 });
  }

  /** Throws a Violation when the clip went backwards. */
  saw(clip: Clip, began: Mark): void {
    const known = began.get(clip.id);
    const seen: Seen = { rank: RANK[clip.state], state: clip.state, attempt: clip.attempt };
    const text = () =>
      `clip ${clip.id} went from ${known?.state} (${known?.attempt}) to ${clip.state} (${clip.attempt})`;
    must(known === undefined || seen.rank >= known.rank, "I3", text);
    must(known === undefined || seen.attempt >= known.attempt, "I3", text);
    must(known?.rank !== 2 || known.state === clip.state, "J1", text);
    const latest = this.#seen.get(clip.id);
    if (latest === undefined || seen.rank >= latest.rank) this.#seen.set(clip.id, seen);
  }
}
