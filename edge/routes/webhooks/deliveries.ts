// The delivery log, and replay.
import { createRoute } from "@hono/zod-openapi";
import {
  attemptListSchema,
  deliveryPageSchema,
  listDeliveriesSchema,
  replayReplySchema,
} from "../../../shared/contract/webhooks.ts";
import type { EdgeApp } from "../../context.ts";
import { listAttempts, listDeliveries, replayMessage } from "../../services/webhooks/deliveries.ts";
import { BEARER, idParam, json, problems } from "../responses.ts";

const PATH = "/v1/webhook-deliveries";
const KEY = ["unauthenticated", "key_revoked", "key_expired"] as const;
const NO_STORE = { "cache-control": "no-store" } as const;

const list = createRoute({
  method: "get",
  path: PATH,
  operationId: "listWebhookDeliveries",
  summary: "What was told, is to be told, or could not be told; newest first",
  security: BEARER,
  request: { query: listDeliveriesSchema },
  responses: { 200: json(deliveryPageSchema, "A page of deliveries"), ...problems(...KEY, "invalid_request") },
});

const attempts = createRoute({
  method: "get",
  path: `${PATH}/{id}/attempts`,
  operationId: "listWebhookAttempts",
  summary: "The attempts to deliver an event, newest first",
  security: BEARER,
  request: { params: idParam("event") },
  responses: { 200: json(attemptListSchema, "The attempts"), ...problems(...KEY, "not_found") },
});

const replay = createRoute({
  method: "post",
  path: `${PATH}/{id}/replay`,
  operationId: "replayWebhook",
  summary: "Deliver an event again",
  description: "The same bytes with the same webhook-id, to where it was delivered before or could not be.",
  security: BEARER,
  request: { params: idParam("event") },
  responses: { 202: json(replayReplySchema, "It is on its way"), ...problems(...KEY, "not_found") },
});

export function registerWebhookDeliveries(app: EdgeApp): void {
  app.openapi(list, async (c) => {
    const page = await listDeliveries(c.get("ports"), c.get("caller").accountId, c.req.valid("query"));
    return c.json(page, 200, NO_STORE);
  });
  app.openapi(attempts, async (c) => {
    const { id } = c.req.valid("param");
    return c.json(await listAttempts(c.get("ports"), c.get("caller").accountId, id), 200, NO_STORE);
  });
  app.openapi(replay, async (c) => {
    const replayed = await replayMessage(c.get("ports"), c.get("caller").accountId, c.req.valid("param").id);
    return c.json({ replayed }, 202);
  });
}
