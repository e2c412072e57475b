// A clip as its owner sees it.
import type { ClipRow } from "../../../db/queries/clips.ts";
import type { OutputRecord } from "../../../db/schema.ts";
import type { Clip, Progress } from "../../../shared/contract/clips.ts";
import { OUTPUT_TYPES, type OutputKind } from "../../../shared/contract/runner.ts";
import { FRAMES_PER_SECOND } from "../../../shared/models.ts";
import { type PublicState, publicState } from "../../../shared/states.ts";
import { signDownload } from "../files/link.ts";
import type { Ports } from "../ports.ts";

/** RFC 3339 with milliseconds. */
export function timestamp(timeMs: number): string {
  return new Date(timeMs).toISOString();
}

/** A clip that has started never shows as queued again: the next attempt is our affair, not its owner's. */
function shownState(row: ClipRow): PublicState {
  return row.state === "queued" || row.state === "leased"
    ? row.startedAtMs === null
      ? publicState(row.state)
      : "running"
    : publicState(row.state);
}

type Source = Pick<Ports, "clock" | "digest" | "times" | "signingKeys" | "publicOrigin">;

async function output(ports: Source, row: ClipRow): Promise<Clip["output"]> {
  const { outputs, outputExpiresAtMs } = row;
  const now = ports.clock.now();
  if (outputs === null || outputExpiresAtMs === null || outputExpiresAtMs <= now) return null;
  const expiresAtMs = Math.min(now + ports.times.downloadUrlMs, outputExpiresAtMs);
  const file = async (kind: OutputKind, { bytes, sha256 }: OutputRecord) => ({
    url: await signDownload(ports, { clipId: row.id, attempt: row.attempt, kind, expiresAtMs }),
    content_type: OUTPUT_TYPES[kind],
    bytes,
    sha256,
  });
  return {
    mp4: await file("mp4", outputs.mp4),
    poster: await file("poster", outputs.poster),
    preview: outputs.preview === undefined ? null : await file("preview", outputs.preview),
    expires_at: timestamp(outputExpiresAtMs),
  };
}

/** What the row does not say: how far a running clip is, and where in the queue a waiting one. */
export interface Whereabouts {
  readonly progress: Progress | null;
  readonly place: Clip["queue"];
}

export const NOWHERE: Whereabouts = { progress: null, place: null };

export async function viewClip(ports: Source, row: ClipRow, { progress, place }: Whereabouts): Promise<Clip> {
  return {
    id: row.id,
    object: "clip",
    state: shownState(row),
    model: row.model,
    prompt: row.prompt,
    size: row.size,
    frames: row.frames,
    frames_per_second: FRAMES_PER_SECOND,
    steps: row.steps,
    sampler: row.sampler,
    seed: row.seed,
    priority: row.priority,
    queue: place,
    price_micros: row.priceMicros,
    charged_micros: row.state === "succeeded" ? row.priceMicros : 0,
    attempt: row.attempt,
    progress: row.state === "running" ? progress : null,
    timings: row.timings,
    engine: row.engine,
    model_version: row.modelVersion,
    error: row.errorCode === null ? null : { code: row.errorCode, message: row.errorMessage ?? "" },
    output: await output(ports, row),
    metadata: { ...row.metadata },
    created_at: timestamp(row.createdAtMs),
    expires_at: row.startedAtMs === null && shownState(row) === "queued" ? timestamp(row.expiresAtMs) : null,
    started_at: row.startedAtMs === null ? null : timestamp(row.startedAtMs),
    finished_at: row.finishedAtMs === null ? null : timestamp(row.finishedAtMs),
  };
}
