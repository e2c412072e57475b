// An order in OpenAI's words: the same order as POST /v1/clips takes, so also for its Idempotency-Key.
import { type Clip, createClipSchema } from "../../../shared/contract/clips.ts";
import { type CreateVideo, VIDEO_FRAMES, type Video } from "../../../shared/contract/videos.ts";
import { createClip } from "../clips/create.ts";
import type { Caller } from "../keys/verify.ts";
import type { Ports } from "../ports.ts";
import { viewVideo } from "./view.ts";

export interface CreatedVideo {
  readonly video: Video;
  readonly replayed: boolean;
}

/** Throws what createClip throws. */
export async function createVideo(
  ports: Ports,
  caller: Caller,
  { model, prompt, size }: CreateVideo,
  idempotencyKey: string | null,
): Promise<CreatedVideo> {
  const order = createClipSchema.parse({ model, prompt, size, frames: VIDEO_FRAMES });
  const { answer, replayed } = await createClip(ports, caller, order, idempotencyKey);
  return { video: viewVideo(JSON.parse(answer) as Clip), replayed };
}
