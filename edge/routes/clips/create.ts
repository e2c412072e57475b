import { createRoute } from "@hono/zod-openapi";
import * as z from "zod";
import { type Clip, clipSchema, createClipSchema } from "../../../shared/contract/clips.ts";
import { isTerminal } from "../../../shared/states.ts";
import type { EdgeApp } from "../../context.ts";
import { createClip } from "../../services/clips/create.ts";
import { awaitClip } from "../../services/clips/watch.ts";
import { preferenceApplied, preferenceHeader, preferHeader, wantedWait } from "../prefer.ts";
import { BEARER, idempotencyKey, json, jsonBody, problems } from "../responses.ts";

const route = createRoute({
  method: "post",
  path: "/v1/clips",
  operationId: "createClip",
  summary: "Order a clip",
  description:
    "Holds the clip's price and queues it. What is held is charged once if the clip succeeds, and never otherwise.",
  security: BEARER,
  request: {
    ...jsonBody(createClipSchema),
    headers: z.object({ "idempotency-key": idempotencyKey, prefer: preferHeader }),
  },
  responses: {
    200: { ...json(clipSchema, "With `Prefer: wait`: the clip has ended"), headers: preferenceHeader },
    202: {
      ...json(clipSchema, "The clip is queued; Location is where to watch it"),
      headers: preferenceHeader.extend({
        location: z.string(),
        "idempotent-replayed": z.literal("true").optional(),
      }),
    },
    ...problems(
      "unauthenticated",
      "key_revoked",
      "key_expired",
      "invalid_request",
      "prompt_empty",
      "prompt_too_long",
      "model_unknown",
      "size_not_allowed",
      "frames_invalid",
      "body_too_large",
      "insufficient_balance",
      "cap_exceeded",
      "too_many_in_flight",
      "idempotency_in_flight",
      "idempotency_mismatch",
    ),
  },
});

export function registerCreateClip(app: EdgeApp): void {
  app.openapi(route, async (c) => {
    const { "idempotency-key": key = null, prefer } = c.req.valid("header");
    const created = await createClip(c.get("ports"), c.get("caller"), c.req.valid("json"), key);
    const clip = JSON.parse(created.answer) as Clip; // written again, it has the same bytes
    const headers = {
      location: `/v1/clips/${clip.id}`,
      ...(created.replayed && { "idempotent-replayed": "true" }),
    };
    const waitS = wantedWait(prefer);
    if (waitS === null) return c.json(clip, 202, headers);
    const waited = await awaitClip(c.get("ports"), c.get("caller").accountId, clip.id, waitS * 1_000);
    return c.json(waited, isTerminal(waited.state) ? 200 : 202, { ...headers, ...preferenceApplied(waitS) });
  });
}
