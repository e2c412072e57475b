// The runner protocol: JSON over HTTPS under /runner/v1, authenticated by `Authorization: Bearer tcr_...`.
// Unknown members are ignored both ways, so that neighbouring versions can talk.
import * as z from "zod";
import { idSchema } from "../ids.ts";
import { CLIP_STATES, STAGES } from "../states.ts";
import { timingsSchema } from "./clips.ts";

/** Waits and limits of a lease, in milliseconds; all injectable. */
export interface LeaseTimes {
  /** A poll without work is answered 204 after this long. */
  readonly pollWaitMs: number;
  /** A claim must be acknowledged by a first heartbeat within this, or it is taken back. */
  readonly acknowledgeMs: number;
  readonly heartbeatMs: number;
  readonly leaseMs: number;
  /** Heartbeats without progress for this long count as a lost lease. */
  readonly stallMs: number;
  readonly uploadUrlMs: number;
  readonly maxAttempts: number;
}

export const DEFAULT_LEASE_TIMES: LeaseTimes = {
  pollWaitMs: 25_000,
  acknowledgeMs: 10_000,
  heartbeatMs: 5_000,
  leaseMs: 30_000,
  stallMs: 120_000,
  uploadUrlMs: 600_000,
  maxAttempts: 3,
};

export const pollRequestSchema = z.object({
  runner_id: idSchema("runner"),
  /** Fresh for each claim wanted: asking again with the same nonce gets the same claim. */
  nonce: z.string().min(16).max(64),
  models: z.array(z.string().max(100)).min(1).max(32),
  loaded_model: z.string().max(100).nullable(),
  version: z.string().max(32),
  /** Backend and version, like cpu/0.1.0. */
  engine: z.string().max(100).optional(),
  /** What each of its engines computes on; one engine if absent. */
  devices: z.array(z.string().max(100)).min(1).max(64).optional(),
  wait_s: z.number().min(0).max(30),
});
/** On an empty answer to a poll: the operator wants this runner to take no more clips. */
export const DRAIN_HEADER = "turboclip-drain";
export type PollRequest = z.infer<typeof pollRequestSchema>;

/** All that an engine needs; every default is already filled in. */
export const clipRequestSchema = z.object({
  model: z.string(),
  prompt: z.string(),
  width: z.int(),
  height: z.int(),
  frames: z.int(),
  steps: z.int(),
  sampler: z.enum(["sde", "ode"]),
  seed: z.int(),
});
export type ClipRequest = z.infer<typeof clipRequestSchema>;

export const claimSchema = z.object({
  clip_id: idSchema("clip"),
  attempt: z.int().min(1),
  lease_token: z.string(),
  lease_until_ms: z.int(),
  request: clipRequestSchema,
  /** The files that the edge takes; what is not known to the runner is left out. The first two kinds if absent. */
  outputs: z.array(z.string()).optional(),
});
export type Claim = z.infer<typeof claimSchema>;

export const heartbeatRequestSchema = z.object({
  stage: z.enum(STAGES),
  step: z.int().min(0).max(10_000),
  steps: z.int().min(0).max(10_000),
  /** Of the stage, finer than its steps: one step may take longer than the stall limit. */
  fraction: z.number().min(0).max(1).optional(),
});
export type HeartbeatRequest = z.infer<typeof heartbeatRequestSchema>;

export const heartbeatReplySchema = z.object({
  lease_until_ms: z.int(),
  cancel: z.boolean(),
  /** The operator wants this runner to take no more clips; the one it has is to be finished. */
  drain: z.boolean().optional(),
});
export type HeartbeatReply = z.infer<typeof heartbeatReplySchema>;

export const OUTPUT_KINDS = ["mp4", "poster", "preview"] as const;
export type OutputKind = (typeof OUTPUT_KINDS)[number];
export const OUTPUT_TYPES = {
  mp4: "video/mp4",
  poster: "image/jpeg",
  preview: "image/gif",
} as const satisfies Record<OutputKind, string>;
/** What runners made before claims said what is wanted. */
export const FIRST_OUTPUT_KINDS = ["mp4", "poster"] as const satisfies readonly OutputKind[];
/** Bytes that one output file may have. */
export const OUTPUT_LIMITS = {
  mp4: 200_000_000,
  poster: 5_000_000,
  preview: 20_000_000,
} as const satisfies Record<OutputKind, number>;

const md5 = z.string().regex(/^[A-Za-z0-9+/]{22}==$/, "must be the base64 of a 16-byte MD5, as in Content-MD5");
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, "must be a SHA-256 in lower-case hex");

export const uploadRequestSchema = z
  .object({
    kind: z.enum(OUTPUT_KINDS),
    bytes: z.int().min(1),
    md5,
    type: z.enum(OUTPUT_TYPES),
  })
  .refine((upload) => upload.type === OUTPUT_TYPES[upload.kind], {
    error: "the type is not the kind's",
    path: ["type"],
  })
  .refine((upload) => upload.bytes <= OUTPUT_LIMITS[upload.kind], { error: "larger than the limit", path: ["bytes"] });
export type UploadRequest = z.infer<typeof uploadRequestSchema>;

/** The PUT must carry exactly these headers: they are signed into the URL. */
export const uploadReplySchema = z.object({
  url: z.url(),
  headers: z.record(z.string(), z.string()),
});
export type UploadReply = z.infer<typeof uploadReplySchema>;

const outputClaim = z.object({ bytes: z.int().min(1), md5, sha256 });
export const completeRequestSchema = z.object({
  outputs: z.object({ mp4: outputClaim, poster: outputClaim, preview: outputClaim.optional() }),
  timings: timingsSchema,
  engine: z.string().max(100).meta({ description: "Backend and version, like cpu/0.1.0" }),
  /** Absent from runners from before they told. */
  model_version: z.string().max(200).optional(),
});
export type CompleteRequest = z.infer<typeof completeRequestSchema>;

export const failRequestSchema = z.object({
  code: z.string().regex(/^[a-z_]{1,40}$/),
  message: z.string().max(1_000),
  retryable: z.boolean(),
});
export type FailRequest = z.infer<typeof failRequestSchema>;

/**
 * The answer to complete, fail and release: what became of the clip. An end that is repeated because its
 * answer was lost gets the same answer as long as the clip ended by it, and `lease_lost` once the clip has
 * gone back into the queue: to the runner both mean that the attempt is over.
 */
export const attemptEndReplySchema = z.object({ state: z.enum(CLIP_STATES) });
export type AttemptEndReply = z.infer<typeof attemptEndReplySchema>;
