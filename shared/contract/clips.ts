// The public clip resource, as the edge validates and answers it and as clients read it.
import * as z from "zod";
import { ERRORS, type ErrorCode } from "../errors.ts";
import { idSchema } from "../ids.ts";
import { PUBLIC_STATES, STAGES } from "../states.ts";

/** Limits of one create request; the OpenAPI document states them. */
export const LIMITS = {
  /** Bytes of a JSON request body. */
  bodyBytes: 64 * 1024,
  /** UTF-16 units of a prompt; the tokeniser then keeps at most 512 tokens. */
  promptCharacters: 4_000,
  idempotencyKeyCharacters: 255,
} as const;

const size = z
  .string()
  .regex(/^[1-9][0-9]{1,3}x[1-9][0-9]{1,3}$/, "must be <width>x<height> in pixels, like 832x480")
  .transform((text) => text as `${number}x${number}`);

/**
 * Form only: which model, size and number of frames are allowed depends on the registry, and those
 * refusals have error codes of their own (model_unknown, size_not_allowed, frames_invalid ...).
 */
export const createClipSchema = z
  .strictObject({
    model: z.string().max(100).meta({ description: "Model id", example: "turboclip-demo" }),
    prompt: z.string().meta({ description: "What the clip shows", example: "a red ball bouncing on a green field" }),
    size: size.optional().meta({ description: "Width x height; the model's first size if absent", example: "256x192" }),
    frames: z.number().optional().meta({ description: "4n+1; the model's default if absent", example: 33 }),
    steps: z.int().min(1).max(4).default(4).meta({ description: "Sampling steps; all cost the same" }),
    sampler: z.enum(["sde", "ode"]).default("sde"),
    seed: z
      .int()
      .min(0)
      .max(Number.MAX_SAFE_INTEGER)
      .optional()
      .meta({ description: "Same seed and settings, same clip; drawn at random if absent" }),
  })
  .meta({ id: "CreateClip" });
export type CreateClip = z.infer<typeof createClipSchema>;
export type CreateClipInput = z.input<typeof createClipSchema>;

export const progressSchema = z
  .object({
    stage: z.enum(STAGES),
    step: z.int().min(0).meta({ description: "Finished steps of this stage" }),
    steps: z.int().min(0).meta({ description: "Steps that this stage will take" }),
    fraction: z.number().min(0).max(1).optional().meta({ description: "Of the stage, finer than its steps" }),
  })
  .meta({ id: "Progress" });
export type Progress = z.infer<typeof progressSchema>;

const outputFile = z.object({
  url: z.url().meta({ description: "Signed, valid for an hour; each get of the clip makes a fresh one" }),
  content_type: z.string(),
  bytes: z.int(),
});

/** Seconds by stage, as the runner measured them. */
export const timingsSchema = z.partialRecord(z.enum(STAGES), z.number().min(0)).meta({ id: "Timings" });
export type Timings = z.infer<typeof timingsSchema>;

const timestamp = z.iso.datetime().meta({ description: "RFC 3339" });

export const clipSchema = z
  .object({
    id: idSchema("clip"),
    object: z.literal("clip"),
    state: z.enum(PUBLIC_STATES),
    model: z.string(),
    prompt: z.string(),
    size: z.string(),
    frames: z.int(),
    frames_per_second: z.int(),
    steps: z.int(),
    sampler: z.enum(["sde", "ode"]),
    seed: z.int(),
    price_micros: z.int().meta({ description: "Quoted price, held until the clip ends" }),
    charged_micros: z.int().meta({ description: "The price once succeeded, otherwise 0" }),
    attempt: z.int().meta({ description: "Attempts started so far" }),
    progress: progressSchema.nullable(),
    timings: timingsSchema.nullable(),
    error: z.object({ code: z.string(), message: z.string() }).nullable(),
    output: z
      .object({ mp4: outputFile, poster: outputFile, expires_at: timestamp })
      .nullable()
      .meta({ description: "Present once succeeded, until it expires" }),
    created_at: timestamp,
    started_at: timestamp.nullable(),
    finished_at: timestamp.nullable(),
  })
  .meta({ id: "Clip" });
export type Clip = z.infer<typeof clipSchema>;

/** RFC 9457, with our code, request id and whether trying again can help. */
export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]),
    request_id: z.string(),
    retryable: z.boolean(),
    pointer: z.string().optional(),
  })
  .meta({ id: "Problem" });
export type Problem = z.infer<typeof problemSchema>;
