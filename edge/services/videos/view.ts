// A clip in OpenAI's words.
import type { Clip } from "../../../shared/contract/clips.ts";
import type { Video, VideoStatus } from "../../../shared/contract/videos.ts";
import { FRAMES_PER_SECOND } from "../../../shared/models.ts";
import type { PublicState } from "../../../shared/states.ts";
import { percentOf } from "../clips/percent.ts";

const STATUSES = {
  queued: "queued",
  running: "in_progress",
  succeeded: "completed",
  failed: "failed",
  cancelled: "failed",
  expired: "failed",
} as const satisfies Record<PublicState, VideoStatus>;

export function statusOf({ state }: Pick<Clip, "state">): VideoStatus {
  return STATUSES[state];
}

function unixSeconds(timestamp: string): number {
  return Math.floor(Date.parse(timestamp) / 1_000);
}

function errorOf({ state, error }: Clip): Video["error"] {
  return state === "cancelled" ? { code: "cancelled", message: "The video was cancelled." } : error;
}

export function viewVideo(clip: Clip): Video {
  const { id, model, prompt, size, frames, state, output } = clip;
  const completed = state === "succeeded";
  return {
    id,
    object: "video",
    model,
    status: statusOf(clip),
    progress: percentOf(clip),
    prompt,
    seconds: String((frames - 1) / FRAMES_PER_SECOND),
    size,
    created_at: unixSeconds(clip.created_at),
    completed_at: completed && clip.finished_at !== null ? unixSeconds(clip.finished_at) : null,
    expires_at: output === null ? null : unixSeconds(output.expires_at),
    remixed_from_video_id: null,
    error: errorOf(clip),
  };
}
