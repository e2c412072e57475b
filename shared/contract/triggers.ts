// Webhooks in: URLs to which other systems post, each with a template that makes an order for a clip of what is posted.
import * as z from "zod";
import { ERRORS, type ErrorCode } from "../errors.ts";
import { idSchema } from "../ids.ts";
import { createClipSchema, LIMITS, metadataName } from "./clips.ts";

export const TRIGGER_LIMITS = {
  perAccount: 100,
  nameCharacters: 100,
  /** UTF-16 units of a template; what it makes has the limits of what it is for. */
  templateCharacters: 4_000,
  /** Of one template. */
  placeholders: 50,
  pathSegments: 16,
  /** Conditions of `when`. */
  conditions: 8,
  /** Bytes of a delivery: senders post far more than an order needs. */
  bodyBytes: 1024 * 1024,
  secretCharacters: { min: 8, max: 256 },
  dailyClips: 1_000_000,
  /** URLs that are good at once; another rotation ends the oldest. */
  urls: 5,
  /** Seconds for which a replaced URL or secret is still good. */
  overlap: { default: 24 * 3_600, max: 7 * 24 * 3_600 },
  /** Deliveries that are listed, the newest; for 30 days. */
  deliveriesKept: 500,
  page: { default: 20, max: 100 },
} as const;

export const SIGNATURE_SCHEMES = ["none", "github", "standard-webhooks", "bearer"] as const;
export const DELIVERY_OUTCOMES = ["ordered", "repeated", "skipped", "refused"] as const;

const timestamp = z.iso.datetime().meta({ description: "RFC 3339" });
const template = z.string().max(TRIGGER_LIMITS.templateCharacters);
const name = z.string().trim().min(1).max(TRIGGER_LIMITS.nameCharacters);

const prompt = template.min(1).meta({
  description: 'Text with placeholders: `{{ $.json.path }}`, or `{{ $.json.path | "fallback" }}`',
  example: 'confetti over a rocket called {{ $.release.name | "new" }}',
});
const metadata = z
  .record(metadataName, template)
  .refine((entries) => Object.keys(entries).length <= LIMITS.metadata.entries, {
    error: `at most ${LIMITS.metadata.entries} entries`,
  })
  .meta({ description: "The clip's metadata: templates like the prompt" });
const when = z
  .record(z.string().max(TRIGGER_LIMITS.templateCharacters), z.union([z.string().max(500), z.number(), z.boolean()]))
  .refine((conditions) => Object.keys(conditions).length <= TRIGGER_LIMITS.conditions, {
    error: `at most ${TRIGGER_LIMITS.conditions} conditions`,
  })
  .meta({
    description: "JSON paths and the values that must be there; any other delivery is answered and makes no clip",
    example: { "$.action": "published" },
  });
/** What the template does not decide of an order. */
export const triggerClipSchema = createClipSchema
  .pick({
    model: true,
    size: true,
    frames: true,
    steps: true,
    sampler: true,
    seed: true,
    priority: true,
    expires_after: true,
    webhook_url: true,
  })
  .meta({ id: "TriggerClip", description: "What each clip is made with, as in an order" });
export type TriggerClip = z.output<typeof triggerClipSchema>;

const dailyClips = z
  .int()
  .min(1)
  .max(TRIGGER_LIMITS.dailyClips)
  .nullable()
  .meta({ description: "Clips a UTC day; null for as many as the key and the account may" });
const dailyCap = z
  .int()
  .min(0)
  .max(Number.MAX_SAFE_INTEGER)
  .nullable()
  .meta({ description: "Micro-dollars that it may spend in one UTC day; null for no cap of its own" });

const { min, max } = TRIGGER_LIMITS.secretCharacters;
const secret = z
  .string()
  .min(min)
  .max(max)
  .regex(/^[\x21-\x7e]+( [\x21-\x7e]+)*$/, "must be printable ASCII");
const overlap = z
  .int()
  .min(0)
  .max(TRIGGER_LIMITS.overlap.max)
  .default(TRIGGER_LIMITS.overlap.default)
  .meta({ description: "Seconds for which what it replaces is good as well" });
export const senderSignatureSchema = z
  .discriminatedUnion("scheme", [
    z.strictObject({ scheme: z.literal("none") }),
    z.strictObject({ scheme: z.literal("github"), secret, overlap_s: overlap }),
    z.strictObject({
      scheme: z.literal("standard-webhooks"),
      secret: z
        .string()
        .regex(
          /^whsec_(?:[A-Za-z0-9+/]{4}){8,24}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/,
          "must be whsec_ and base64",
        ),
      overlap_s: overlap,
    }),
    z.strictObject({
      scheme: z.literal("bearer"),
      secret: secret.regex(/^\S+$/, "must have no spaces"),
      overlap_s: overlap,
    }),
  ])
  .meta({
    description:
      "How the sender proves itself beside the URL: X-Hub-Signature-256 (`github`), Standard Webhooks, or `Authorization: Bearer`",
  });
export type SenderSignature = z.output<typeof senderSignatureSchema>;

export const createTriggerSchema = z
  .strictObject({
    name,
    prompt,
    metadata: metadata.default({}),
    when: when.default({}),
    clip: triggerClipSchema,
    daily_clips: dailyClips.default(null),
    daily_cap_micros: dailyCap.default(null),
    signature: senderSignatureSchema.default({ scheme: "none" }),
  })
  .meta({ id: "CreateTrigger" });
export type CreateTrigger = z.output<typeof createTriggerSchema>;

export const updateTriggerSchema = z
  .strictObject({
    name: name.optional(),
    prompt: prompt.optional(),
    metadata: metadata.optional(),
    when: when.optional(),
    clip: triggerClipSchema.optional(),
    daily_clips: dailyClips.optional(),
    daily_cap_micros: dailyCap.optional(),
    signature: senderSignatureSchema.optional(),
    enabled: z.boolean().optional(),
  })
  .meta({ id: "UpdateTrigger", description: "What is left out stays; what is given replaces the whole of it" });
export type UpdateTrigger = z.output<typeof updateTriggerSchema>;

export const triggerSchema = z
  .object({
    id: idSchema("trigger"),
    object: z.literal("trigger"),
    name: z.string(),
    key_id: idSchema("key").meta({ description: "The API key that it orders with; it ends with this key" }),
    prompt: z.string(),
    metadata: z.record(z.string(), z.string()),
    when: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
    clip: triggerClipSchema,
    daily_clips: z.int().nullable(),
    daily_cap_micros: z.int().nullable(),
    signature: z.object({ scheme: z.enum(SIGNATURE_SCHEMES) }),
    enabled: z.boolean(),
    clips: z.int().meta({ description: "Ordered so far" }),
    refusals: z.int().meta({ description: "Deliveries refused so far" }),
    last_delivery_at: timestamp.nullable(),
    created_at: timestamp,
  })
  .meta({ id: "Trigger" });
export type Trigger = z.infer<typeof triggerSchema>;

export const triggerListSchema = z.object({ data: z.array(triggerSchema) }).meta({ id: "TriggerList" });

const url = z.string().meta({ description: "Shown this once and kept nowhere: whoever has it can post to it" });
export const issuedTriggerSchema = triggerSchema.extend({ url }).meta({ id: "IssuedTrigger" });
export type IssuedTrigger = z.infer<typeof issuedTriggerSchema>;

export const rotateTriggerSchema = z.strictObject({ overlap_s: overlap }).meta({ id: "RotateTrigger" });

/** To the sender, who learns nothing but the clip's id. */
export const triggeredSchema = z
  .object({
    clip_id: idSchema("clip").nullable().meta({ description: "null for a delivery that `when` leaves out" }),
  })
  .meta({ id: "Triggered" });
export type Triggered = z.infer<typeof triggeredSchema>;

export const previewTriggerSchema = z
  .strictObject({ body: z.unknown().meta({ description: "As a sender would post it: any JSON" }) })
  .meta({ id: "PreviewTrigger" });

export const triggerPreviewSchema = z
  .object({
    object: z.literal("trigger_preview"),
    clip: z
      .object({
        prompt: z.string(),
        metadata: z.record(z.string(), z.string()),
        model: z.string(),
        size: z.string(),
        frames: z.int(),
        price_micros: z.int(),
      })
      .nullable()
      .meta({ description: "What would be ordered; null where `when` would leave the delivery out" }),
  })
  .meta({ id: "TriggerPreview" });
export type TriggerPreview = z.infer<typeof triggerPreviewSchema>;

export const listTriggerDeliveriesSchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(TRIGGER_LIMITS.page.max).default(TRIGGER_LIMITS.page.default),
  after: idSchema("delivery").optional().meta({ description: "`next` of the page before" }),
});
export type ListTriggerDeliveries = z.output<typeof listTriggerDeliveriesSchema>;

export const triggerDeliverySchema = z
  .object({
    id: idSchema("delivery"),
    object: z.literal("trigger_delivery"),
    outcome: z.enum(DELIVERY_OUTCOMES).meta({
      description: "`repeated`: answered with the clip of the same delivery before. `skipped`: `when` leaves it out",
    }),
    clip_id: idSchema("clip").nullable(),
    code: z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]).nullable(),
    detail: z.string().nullable().meta({ description: "Why it was refused; the sender may have been told less" }),
    delivery_key: z.string().nullable().meta({ description: "By which the sender's repetitions are known" }),
    created_at: timestamp,
  })
  .meta({ id: "TriggerDelivery" });
export type TriggerDelivery = z.infer<typeof triggerDeliverySchema>;

export const triggerDeliveryPageSchema = z
  .object({
    data: z.array(triggerDeliverySchema),
    next: idSchema("delivery").nullable().meta({ description: "`after` of the next page; null on the last" }),
  })
  .meta({ id: "TriggerDeliveryPage" });
export type TriggerDeliveryPage = z.infer<typeof triggerDeliveryPageSchema>;
