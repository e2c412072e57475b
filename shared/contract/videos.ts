// Clips in the shape of OpenAI's Videos API, so that its clients work against ours: the same clips under the same ids,
// with seconds for times and OpenAI's own error body.
import * as z from "zod";
import { ERRORS, type ErrorCode } from "../errors.ts";
import { idSchema } from "../ids.ts";
import { FRAMES_PER_SECOND } from "../models.ts";
import { LIMITS, sizeSchema } from "./clips.ts";

/** The one duration that both OpenAI's clients can ask for and the models can make. */
const SECONDS = "4";
/** 65: Wan's models make 1 + 4 n frames, so the first one is one more. */
export const VIDEO_FRAMES = Number(SECONDS) * FRAMES_PER_SECOND + 1;

/** OpenAI's clients send the picture as a file, or as an object whose members become fields of these names. */
const picture = z
  .unknown()
  .refine(() => false, { error: "no model here takes a picture; describe what it shows in the prompt" })
  .optional()
  .meta({ description: "Refused: no model here takes a picture" });

/** Fields of a form. */
export const createVideoSchema = z
  .strictObject({
    prompt: z.string().meta({ description: "What the video shows", example: "a red ball bouncing on a green field" }),
    model: z.string().max(100).meta({ description: "Model id, as GET /v1/models lists it", example: "turboclip-demo" }),
    seconds: z
      .literal(SECONDS, {
        error: `must be "${SECONDS}", which makes ${VIDEO_FRAMES} frames; POST /v1/clips takes other lengths, in frames`,
      })
      .default(SECONDS)
      .meta({ description: `${VIDEO_FRAMES} frames` }),
    size: sizeSchema.optional().meta({ description: "Width x height; the model's first size if absent" }),
    input_reference: picture,
    "input_reference[image_url]": picture,
    "input_reference[file_id]": picture,
  })
  .meta({ id: "CreateVideo" });
export type CreateVideo = z.infer<typeof createVideoSchema>;

const VIDEO_STATUSES = ["queued", "in_progress", "completed", "failed"] as const;
export type VideoStatus = (typeof VIDEO_STATUSES)[number];

const seconds = z.int().meta({ description: "Seconds since 1970" });

export const videoSchema = z
  .object({
    id: idSchema("clip"),
    object: z.literal("video"),
    model: z.string(),
    status: z.enum(VIDEO_STATUSES),
    progress: z.int().min(0).max(100).meta({ description: "Per cent, roughly" }),
    prompt: z.string(),
    seconds: z.string().meta({ description: "Its duration; the first frame is not counted" }),
    size: z.string(),
    created_at: seconds,
    completed_at: seconds.nullable(),
    expires_at: seconds.nullable().meta({ description: "Until when its content is kept" }),
    remixed_from_video_id: z.null(),
    error: z
      .object({ code: z.string(), message: z.string() })
      .nullable()
      .meta({ description: "Of a failed video; `cancelled` and `expired` are failures of their own" }),
  })
  .meta({ id: "Video" });
export type Video = z.infer<typeof videoSchema>;

export const listVideosSchema = z.object({
  limit: z.coerce.number().int().min(1).max(LIMITS.page.max).default(LIMITS.page.default),
  after: idSchema("clip").optional().meta({ description: "`last_id` of the page before" }),
  order: z.enum(["asc", "desc"]).default("desc").meta({ description: "By creation" }),
});
export type ListVideos = z.output<typeof listVideosSchema>;

export const videoPageSchema = z
  .object({
    object: z.literal("list"),
    data: z.array(videoSchema),
    first_id: idSchema("clip").nullable(),
    last_id: idSchema("clip").nullable(),
    has_more: z.boolean(),
  })
  .meta({ id: "VideoPage" });
export type VideoPage = z.infer<typeof videoPageSchema>;

export const deletedVideoSchema = z
  .object({ id: idSchema("clip"), object: z.literal("video.deleted"), deleted: z.literal(true) })
  .meta({ id: "DeletedVideo" });

/** OpenAI's names for what it answers as file. */
export const VIDEO_VARIANTS = ["video", "thumbnail"] as const;
export type VideoVariant = (typeof VIDEO_VARIANTS)[number];

/** OpenAI's error body; `code` is ours. */
export const videoErrorSchema = z
  .object({
    error: z.object({
      message: z.string(),
      type: z.enum([
        "invalid_request_error",
        "authentication_error",
        "permission_error",
        "insufficient_quota",
        "rate_limit_error",
        "server_error",
      ]),
      param: z.string().nullable(),
      code: z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]),
    }),
  })
  .meta({ id: "VideoError" });
export type VideoError = z.infer<typeof videoErrorSchema>;
