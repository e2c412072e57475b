// Messages between the control process and its engine process, over Node's IPC channel. Both ends are ours,
// but a process that is running out of memory or being rewritten must not confuse the other: every message
// is checked.
import * as z from "zod";
import { timingsSchema } from "../../shared/contract/clips.ts";
import { clipRequestSchema, heartbeatRequestSchema } from "../../shared/contract/runner.ts";
import { ERRORS, type ErrorCode } from "../../shared/errors.ts";
import { DECODERS } from "../checkpoints/find.ts";

const modelSchema = z.object({
  id: z.string(),
  transformer: z.string(),
  vae: z.string(),
  textEncoder: z.string(),
  tokenizer: z.string(),
  tinyDecoder: z.string().optional(),
});

const samplingSchema = z.object({
  sigmaMax: z.number(),
  attention: z.enum(["sla", "original"]),
  topkRatio: z.number(),
  decoder: z.enum(DECODERS),
});

const job = z.int().min(1);

/** Control to engine. */
export const commandSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("load"), job, model: modelSchema }),
  z.object({
    type: z.literal("render"),
    job,
    model: modelSchema,
    request: clipRequestSchema,
    sampling: samplingSchema,
    /** Exists; the two files are written into it. */
    folder: z.string(),
  }),
  z.object({ type: z.literal("cancel"), job }),
]);
export type Command = z.infer<typeof commandSchema>;
export type RenderCommand = Extract<Command, { type: "render" }>;

/** A failure as the edge is told it. */
export const failureSchema = z.object({
  code: z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]),
  message: z.string(),
  retryable: z.boolean(),
});
export type Failure = z.infer<typeof failureSchema>;

const outputSchema = z.object({
  path: z.string(),
  bytes: z.int().min(1),
  md5: z.string(),
  sha256: z.string(),
});
export type Output = z.infer<typeof outputSchema>;

const outcomeSchema = z.discriminatedUnion("kind", [
  /** `plan`: what the model takes of the device, in words. */
  z.object({ kind: z.literal("loaded"), plan: z.string().max(500).optional() }),
  z.object({
    kind: z.literal("rendered"),
    outputs: z.object({ mp4: outputSchema, poster: outputSchema, preview: outputSchema }),
    timings: timingsSchema,
    /** What the process holds of its card, and held at most; absent on the CPU. */
    memory: z.object({ held_bytes: z.number(), peak_bytes: z.number() }).optional(),
  }),
  z.object({ kind: z.literal("failed"), failure: failureSchema }),
  z.object({ kind: z.literal("cancelled") }),
]);
export type Outcome = z.infer<typeof outcomeSchema>;
export type Rendered = Extract<Outcome, { kind: "rendered" }>;

/** Engine to control. */
export const eventSchema = z.discriminatedUnion("type", [
  /** The addon, ffmpeg and the device are there; `backend` is "cpu" or "cuda", `device` the card in words. */
  z.object({ type: z.literal("ready"), backend: z.string().max(50), device: z.string().max(500).optional() }),
  /** They are not, and starting again will not help. The process then ends. */
  z.object({ type: z.literal("unusable"), message: z.string() }),
  /** A model is about to be loaded, and takes this of the device, in words. */
  z.object({ type: z.literal("planned"), model: z.string(), plan: z.string().max(500) }),
  z.object({ type: z.literal("progress"), job, progress: heartbeatRequestSchema }),
  /** The clip's frames are there: the process takes another job while it writes this one's files. */
  z.object({ type: z.literal("sampled"), job, timings: timingsSchema }),
  z.object({ type: z.literal("outcome"), job, outcome: outcomeSchema }),
]);
export type EngineEvent = z.infer<typeof eventSchema>;
