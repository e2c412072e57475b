// A clip in OpenAI's words.
import type { Clip, Progress } from "../../../shared/contract/clips.ts";
import type { Video, VideoStatus } from "../../../shared/contract/videos.ts";
import { FRAMES_PER_SECOND } from "../../../shared/models.ts";
import type { PublicState, Stage } from "../../../shared/states.ts";

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

/** From which per cent each stage counts: steps of different stages take different times, sampling most. */
const STAGE_BEGINS = { load: 0, text_encode: 5, denoise: 10, decode: 80, encode: 92, upload: 96 } as const;
const STAGE_ENDS = {
  load: 5,
  text_encode: 10,
  denoise: 80,
  decode: 92,
  encode: 96,
  upload: 99,
} as const satisfies Record<Stage, number>;

function percentOf({ stage, step, steps, fraction }: Progress): number {
  const done = fraction ?? (steps === 0 ? 0 : Math.min(1, step / steps));
  return Math.floor(STAGE_BEGINS[stage] + (STAGE_ENDS[stage] - STAGE_BEGINS[stage]) * done);
}

function unixSeconds(timestamp: string): number {
  return Math.floor(Date.parse(timestamp) / 1_000);
}

function errorOf({ state, error }: Clip): Video["error"] {
  return state === "cancelled" ? { code: "cancelled", message: "The video was cancelled." } : error;
}

export function viewVideo(clip: Clip): Video {
  const { id, model, prompt, size, frames, state, progress, output } = clip;
  const completed = state === "succeeded";
  return {
    id,
    object: "video",
    model,
    status: statusOf(clip),
    progress: completed ? 100 : progress === null ? 0 : percentOf(progress),
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
