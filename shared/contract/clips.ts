// The public clip resource, as the edge validates and answers it and as clients read it.
import * as z from "zod";
import { ERRORS, type ErrorCode } from "../errors.ts";
import { idSchema } from "../ids.ts";
import { MAX_STEPS } from "../models.ts";
import { PRIORITIES, PUBLIC_STATES, STAGES } from "../states.ts";
import { limitSchema } from "./limits.ts";

/** Limits of one create request; the OpenAPI document states them. */
export const LIMITS = {
  /** Bytes of a JSON request body. */
  bodyBytes: 64 * 1024,
  /** Bytes of all names and values of a request's headers. */
  headerBytes: 16 * 1024,
  /** UTF-16 units of a prompt; the tokeniser then keeps at most 512 tokens. */
  promptCharacters: 4_000,
  idempotencyKeyCharacters: 255,
  /** Clips of one create request. */
  clipsPerOrder: 10,
  /** Seconds that an order may wait to be started. */
  expiresAfter: { min: 10, max: 7 * 24 * 3_600 },
  /** Of a clip's metadata: entries, and characters of a name and of a value. */
  metadata: { entries: 16, nameCharacters: 40, valueCharacters: 500 },
  webhookUrlCharacters: 2_000,
  /** Clips of one page of a list. */
  page: { default: 20, max: 100 },
} as const;

export const sizeSchema = z
  .string()
  .regex(/^[1-9][0-9]{1,3}x[1-9][0-9]{1,3}$/, "must be <width>x<height> in pixels, like 832x480")
  .transform((text) => text as `${number}x${number}`);

const METADATA_NAME = `[A-Za-z0-9_.-]{1,${LIMITS.metadata.nameCharacters}}`;
export const metadataName = z
  .string()
  .regex(
    new RegExp(`^${METADATA_NAME}$`),
    `a name has 1 to ${LIMITS.metadata.nameCharacters} letters, digits, dots, hyphens and underscores`,
  );
const metadataSchema = z
  .record(metadataName, z.string().max(LIMITS.metadata.valueCharacters))
  .refine((entries) => Object.keys(entries).length <= LIMITS.metadata.entries, {
    error: `at most ${LIMITS.metadata.entries} entries`,
  });

/**
 * Form only: which model, size and number of frames are allowed depends on the registry, and those
 * refusals have error codes of their own (model_unknown, size_not_allowed, frames_invalid ...).
 */
export const createClipSchema = z
  .strictObject({
    model: z.string().max(100).meta({ description: "Model id", example: "turboclip-demo" }),
    prompt: z.string().meta({ description: "What the clip shows", example: "a red ball bouncing on a green field" }),
    size: sizeSchema
      .optional()
      .meta({ description: "Width x height; the model's first size if absent", example: "256x192" }),
    frames: z.number().optional().meta({ description: "4n+1; the model's default if absent", example: 33 }),
    image: idSchema("upload")
      .optional()
      .meta({ description: "An upload to begin with, for models whose task is image-to-video" }),
    steps: z.int().min(1).max(MAX_STEPS).default(MAX_STEPS).meta({ description: "Sampling steps; all cost the same" }),
    sampler: z.enum(["sde", "ode"]).default("sde"),
    seed: z
      .int()
      .min(0)
      .max(Number.MAX_SAFE_INTEGER)
      .optional()
      .meta({ description: "Same seed and settings, same clip; drawn at random if absent" }),
    n: z.int().min(1).max(LIMITS.clipsPerOrder).optional().meta({
      description:
        "So many clips, all or none, answered as a list (also for 1); with a seed the first has it and each next one more",
    }),
    priority: z.enum(PRIORITIES).default("normal").meta({ description: "Low gives way to normal; both cost the same" }),
    expires_after: z
      .int()
      .min(LIMITS.expiresAfter.min)
      .max(LIMITS.expiresAfter.max)
      .optional()
      .meta({ description: "Seconds within which the clip must be started, else it expires; a day if absent" }),
    metadata: metadataSchema.optional().meta({
      maxProperties: LIMITS.metadata.entries,
      description: "Your own names and values; shown with the clip, and lists can ask for them",
    }),
    webhook_url: z
      .string()
      .max(LIMITS.webhookUrlCharacters)
      .optional()
      .meta({ description: "Told of this clip's start and end, signed by the account's webhook secret" }),
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
  sha256: z
    .string()
    .meta({ description: "Of the whole file, in lower-case hex, as the machine that made it measured" }),
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
    priority: z.enum(PRIORITIES),
    queue: z
      .object({
        position: z.int().meta({ description: "1 is the next of its model" }),
        expected_start_at: timestamp
          .nullable()
          .meta({ description: "An estimate; null while there is no ground for one" }),
      })
      .nullable()
      .meta({ description: "Its place, when read while it waits" }),
    price_micros: z.int().meta({ description: "Quoted price, held until the clip ends" }),
    charged_micros: z.int().meta({ description: "The price once succeeded, otherwise 0; refunds are in the ledger" }),
    attempt: z.int().meta({ description: "Attempts started so far" }),
    progress: progressSchema.nullable(),
    timings: timingsSchema.nullable().meta({ description: "Seconds by stage of the attempt that succeeded" }),
    engine: z
      .string()
      .nullable()
      .meta({ description: "What made it: backend and version; null until it has succeeded", example: "cuda/0.1.0" }),
    model_version: z.string().nullable().meta({
      description: "The checkpoint that made it, and the begin of a digest of it; null until it has succeeded",
      example: "TurboWan2.1-T2V-1.3B-480P-quant@3fa1b2c4d5e6",
    }),
    error: z.object({ code: z.string(), message: z.string() }).nullable(),
    output: z
      .object({
        mp4: outputFile,
        poster: outputFile.meta({ description: "The middle frame, a JPEG" }),
        preview: outputFile
          .nullable()
          .meta({ description: "A small GIF of it; null for clips from before there were" }),
        expires_at: timestamp,
      })
      .nullable()
      .meta({ description: "Present once succeeded, until it expires" }),
    metadata: z.record(z.string(), z.string()),
    created_at: timestamp,
    expires_at: timestamp.nullable().meta({ description: "When it expires unless it is started; null once it is" }),
    started_at: timestamp.nullable(),
    finished_at: timestamp.nullable(),
  })
  .meta({ id: "Clip" });
export type Clip = z.infer<typeof clipSchema>;

/** The answer to a create with `n`. */
export const clipBatchSchema = z
  .object({
    object: z.literal("list"),
    data: z.array(clipSchema).meta({ description: "In the order in which they are taken from the queue" }),
  })
  .meta({ id: "ClipBatch" });
export type ClipBatch = z.infer<typeof clipBatchSchema>;

/** What an order would cost and how long it would wait; nothing of it is kept. */
export const estimateSchema = z
  .object({
    object: z.literal("estimate"),
    model: z.string(),
    size: z.string(),
    frames: z.int(),
    n: z.int(),
    price_micros: z.int().meta({ description: "Of each clip" }),
    total_price_micros: z.int().meta({ description: "What the order would hold" }),
    queue: z
      .object({
        position: z.int().meta({ description: "1 would be the next of its model" }),
        expected_wait_s: z.number().nullable().meta({ description: "Null while there is no ground for an estimate" }),
      })
      .meta({ description: "Of the order's first clip" }),
    refusal: z
      .object({
        code: z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]),
        detail: z.string(),
        retryable: z.boolean(),
        limit: limitSchema.optional(),
      })
      .nullable()
      .meta({ description: "Why the order would be refused at this moment; null if it would be taken" }),
  })
  .meta({ id: "Estimate" });
export type Estimate = z.infer<typeof estimateSchema>;

/** "order=42" -> ["order", "42"]. */
const metadataFilter = z
  .string()
  .max(LIMITS.metadata.nameCharacters + 1 + LIMITS.metadata.valueCharacters)
  .regex(new RegExp(`^${METADATA_NAME}=`), "must be <name>=<value>, the name as metadata has it")
  .transform((text) => {
    const at = text.indexOf("=");
    return [text.slice(0, at), text.slice(at + 1)] as const;
  });

/** What a list of clips may ask for; all that is given must hold. */
export const listClipsSchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(LIMITS.page.max).default(LIMITS.page.default),
  after: idSchema("clip").optional().meta({ description: "`next` of the page before" }),
  state: z.enum(PUBLIC_STATES).optional(),
  model: z.string().max(100).optional(),
  created_from: timestamp.optional().meta({ description: "At this moment or later" }),
  created_until: timestamp.optional().meta({ description: "Before this moment" }),
  metadata: z
    .union([metadataFilter.transform((one) => [one]), z.array(metadataFilter).max(LIMITS.metadata.entries)])
    .default([])
    .meta({ type: "array", items: { type: "string" }, description: "`name=value`; may be given several times" }),
});
export type ListClips = z.output<typeof listClipsSchema>;

export const clipPageSchema = z
  .object({
    data: z.array(clipSchema),
    next: idSchema("clip")
      .nullable()
      .meta({ description: "`after` of the next page; null on the last. A page may hold fewer clips than its limit" }),
  })
  .meta({ id: "ClipPage" });
export type ClipPage = z.infer<typeof clipPageSchema>;

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
    pointer: z.string().optional().meta({ description: "JSON Pointer to the member of the body that is to blame" }),
    errors: z
      .array(
        z.object({
          pointer: z.string().optional().meta({ description: "Of a member of the body" }),
          parameter: z.string().optional().meta({ description: "Name of a query parameter" }),
          header: z.string().optional(),
          detail: z.string(),
        }),
      )
      .optional()
      .meta({ description: "Of an invalid_request: all that does not fit its schema, the first 20" }),
    limit: limitSchema.optional().meta({ description: "Which limit was reached" }),
  })
  .meta({ id: "Problem" });
export type Problem = z.infer<typeof problemSchema>;
