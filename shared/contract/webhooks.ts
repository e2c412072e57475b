// Webhooks as customers set them up and look after them, and the body of a message (Standard Webhooks 1.0.0:
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
import * as z from "zod";
import { idSchema } from "../ids.ts";
import { LIMITS } from "./clips.ts";

export const WEBHOOK_EVENT_TYPES = [
  "clip.started",
  "clip.succeeded",
  "clip.failed",
  "clip.cancelled",
  "clip.expired",
  "balance.low",
  "auto_top_up.failed",
  "webhook_endpoint.disabled",
  "webhook.test",
] as const;
export type WebhookEventType = (typeof WEBHOOK_EVENT_TYPES)[number];

export const WEBHOOK_LIMITS = {
  endpointsPerAccount: 20,
  /** Seconds for which a replaced secret still signs. */
  overlap: { default: 24 * 3_600, max: 7 * 24 * 3_600 },
  page: { default: 20, max: 100 },
} as const;

const timestamp = z.iso.datetime().meta({ description: "RFC 3339" });
const url = z.string().max(LIMITS.webhookUrlCharacters).meta({ example: "https://example.com/turboclip" });
const events = z
  .array(z.enum(WEBHOOK_EVENT_TYPES))
  .min(1)
  .max(WEBHOOK_EVENT_TYPES.length)
  .nullable()
  .meta({ description: "The types to be told of; null for all" });

export const createEndpointSchema = z
  .strictObject({ url, events: events.default(null) })
  .meta({ id: "CreateWebhookEndpoint" });
export type CreateEndpoint = z.output<typeof createEndpointSchema>;

export const updateEndpointSchema = z
  .strictObject({
    url: url.optional(),
    events: events.optional(),
    enabled: z.boolean().optional().meta({ description: "true also after it was disabled for failing" }),
  })
  .meta({ id: "UpdateWebhookEndpoint" });
export type UpdateEndpoint = z.output<typeof updateEndpointSchema>;

export const endpointSchema = z
  .object({
    id: idSchema("endpoint"),
    object: z.literal("webhook_endpoint"),
    url: z.string(),
    events,
    enabled: z.boolean(),
    disabled_reason: z
      .enum(["requested", "gone", "failing"])
      .nullable()
      .meta({ description: "`gone`: it answered 410. `failing`: nothing could be delivered for five days" }),
    disabled_at: timestamp.nullable(),
    failing_since: timestamp.nullable().meta({ description: "Since when no delivery has succeeded" }),
    created_at: timestamp,
  })
  .meta({ id: "WebhookEndpoint" });
export type Endpoint = z.infer<typeof endpointSchema>;

export const endpointListSchema = z.object({ data: z.array(endpointSchema) }).meta({ id: "WebhookEndpointList" });

const secret = z.string().meta({ description: "Shown this once: `whsec_` and base64 of 32 bytes" });
export const issuedEndpointSchema = endpointSchema.extend({ secret }).meta({ id: "IssuedWebhookEndpoint" });
export type IssuedEndpoint = z.infer<typeof issuedEndpointSchema>;

export const rotateSecretSchema = z
  .strictObject({
    overlap_s: z
      .int()
      .min(0)
      .max(WEBHOOK_LIMITS.overlap.max)
      .default(WEBHOOK_LIMITS.overlap.default)
      .meta({ description: "How long messages carry a signature by the old secret as well" }),
  })
  .meta({ id: "RotateWebhookSecret" });

export const issuedSecretSchema = z
  .object({ secret, previous_expires_at: timestamp.nullable() })
  .meta({ id: "IssuedWebhookSecret" });
export type IssuedSecret = z.infer<typeof issuedSecretSchema>;

const deliveryState = z.enum(["pending", "delivered", "exhausted"]);
const endpointId = idSchema("endpoint").nullable().meta({ description: "null for a clip's `webhook_url`" });

export const listDeliveriesSchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(WEBHOOK_LIMITS.page.max).default(WEBHOOK_LIMITS.page.default),
  after: z.string().max(400).optional().meta({ description: "`next` of the page before" }),
  state: deliveryState.optional(),
});
export type ListDeliveries = z.output<typeof listDeliveriesSchema>;

export const deliverySchema = z
  .object({
    event_id: idSchema("event").meta({ description: "The message's webhook-id" }),
    type: z.enum(WEBHOOK_EVENT_TYPES),
    clip_id: idSchema("clip").nullable(),
    endpoint_id: endpointId,
    url: z.string(),
    state: deliveryState,
    attempts: z.int(),
    next_attempt_at: timestamp.nullable(),
    last_status: z.int().nullable(),
    last_error: z.string().nullable(),
    created_at: timestamp,
  })
  .meta({ id: "WebhookDelivery" });
export type Delivery = z.infer<typeof deliverySchema>;

export const deliveryPageSchema = z
  .object({ data: z.array(deliverySchema), next: z.string().nullable() })
  .meta({ id: "WebhookDeliveryPage" });
export type DeliveryPage = z.infer<typeof deliveryPageSchema>;

export const attemptListSchema = z
  .object({
    data: z.array(
      z.object({
        endpoint_id: endpointId,
        attempt: z.int(),
        at: timestamp,
        duration_ms: z.int(),
        status: z.int().nullable(),
        error: z.string().nullable(),
        answer: z.string().nullable().meta({ description: "How the answer's body begins" }),
      }),
    ),
  })
  .meta({ id: "WebhookAttemptList" });
export type AttemptList = z.infer<typeof attemptListSchema>;

export const replayReplySchema = z
  .object({ replayed: z.int().meta({ description: "Deliveries that are to be made again" }) })
  .meta({ id: "WebhookReplay" });

export const testReplySchema = z.object({ event_id: idSchema("event") }).meta({ id: "WebhookTest" });
