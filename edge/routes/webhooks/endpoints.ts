// Webhook endpoints and their secrets.
import { createRoute } from "@hono/zod-openapi";
import {
  createEndpointSchema,
  endpointListSchema,
  endpointSchema,
  issuedEndpointSchema,
  issuedSecretSchema,
  rotateSecretSchema,
  testReplySchema,
  updateEndpointSchema,
} from "../../../shared/contract/webhooks.ts";
import type { EdgeApp } from "../../context.ts";
import {
  changeEndpoint,
  createEndpoint,
  getEndpoint,
  listEndpoints,
  removeEndpoint,
  rotateEndpointSecret,
  sendTest,
} from "../../services/webhooks/endpoints.ts";
import { rotateSecret } from "../../services/webhooks/secrets.ts";
import { BEARER, idParam, json, jsonBody, problems } from "../responses.ts";

const PATH = "/v1/webhook-endpoints";
const ONE = `${PATH}/{id}`;
const KEY = ["unauthenticated", "key_revoked", "key_expired"] as const;
const NO_STORE = { "cache-control": "no-store" } as const;
const oneParam = { params: idParam("endpoint") };

const create = createRoute({
  method: "post",
  path: PATH,
  operationId: "createWebhookEndpoint",
  summary: "Be told of events at a URL",
  description: "The answer holds the signing secret, which is not shown again.",
  security: BEARER,
  request: jsonBody(createEndpointSchema),
  responses: {
    201: json(issuedEndpointSchema, "The endpoint and its secret"),
    ...problems(...KEY, "invalid_request", "body_too_large"),
  },
});

const list = createRoute({
  method: "get",
  path: PATH,
  operationId: "listWebhookEndpoints",
  summary: "Your webhook endpoints",
  security: BEARER,
  responses: { 200: json(endpointListSchema, "The endpoints"), ...problems(...KEY) },
});

const get = createRoute({
  method: "get",
  path: ONE,
  operationId: "getWebhookEndpoint",
  summary: "One webhook endpoint",
  security: BEARER,
  request: oneParam,
  responses: { 200: json(endpointSchema, "The endpoint"), ...problems(...KEY, "not_found") },
});

const update = createRoute({
  method: "patch",
  path: ONE,
  operationId: "updateWebhookEndpoint",
  summary: "Change, disable or enable a webhook endpoint",
  description: "What waits for an endpoint when it is disabled is listed as exhausted, and can be replayed later.",
  security: BEARER,
  request: { ...oneParam, ...jsonBody(updateEndpointSchema) },
  responses: {
    200: json(endpointSchema, "The endpoint as it is now"),
    ...problems(...KEY, "invalid_request", "not_found", "body_too_large"),
  },
});

const remove = createRoute({
  method: "delete",
  path: ONE,
  operationId: "deleteWebhookEndpoint",
  summary: "Delete a webhook endpoint",
  security: BEARER,
  request: oneParam,
  responses: { 204: { description: "It is gone" }, ...problems(...KEY, "not_found") },
});

const rotate = createRoute({
  method: "post",
  path: `${ONE}/rotate-secret`,
  operationId: "rotateWebhookEndpointSecret",
  summary: "A new secret for a webhook endpoint",
  description: "Until the overlap is over, messages are signed by the new and the old secret.",
  security: BEARER,
  request: { ...oneParam, ...jsonBody(rotateSecretSchema) },
  responses: {
    200: json(issuedSecretSchema, "The new secret"),
    ...problems(...KEY, "invalid_request", "not_found", "body_too_large"),
  },
});

const rotateOwn = createRoute({
  method: "post",
  path: "/v1/webhook-secret/rotate",
  operationId: "rotateWebhookSecret",
  summary: "A first or new secret for the `webhook_url` of clips",
  security: BEARER,
  request: jsonBody(rotateSecretSchema),
  responses: {
    200: json(issuedSecretSchema, "The new secret"),
    ...problems(...KEY, "invalid_request", "body_too_large"),
  },
});

const test = createRoute({
  method: "post",
  path: `${ONE}/test`,
  operationId: "testWebhookEndpoint",
  summary: "Send a test event to a webhook endpoint",
  security: BEARER,
  request: oneParam,
  responses: { 202: json(testReplySchema, "It is on its way"), ...problems(...KEY, "invalid_request", "not_found") },
});

export function registerWebhookEndpoints(app: EdgeApp): void {
  app.openapi(create, async (c) => {
    const issued = await createEndpoint(c.get("ports"), c.get("caller").accountId, c.req.valid("json"));
    return c.json(issued, 201, NO_STORE);
  });
  app.openapi(list, async (c) => c.json(await listEndpoints(c.get("ports"), c.get("caller").accountId), 200, NO_STORE));
  app.openapi(get, async (c) => {
    const { id } = c.req.valid("param");
    return c.json(await getEndpoint(c.get("ports"), c.get("caller").accountId, id), 200, NO_STORE);
  });
  app.openapi(update, async (c) => {
    const { id } = c.req.valid("param");
    const changed = await changeEndpoint(c.get("ports"), c.get("caller").accountId, id, c.req.valid("json"));
    return c.json(changed, 200, NO_STORE);
  });
  app.openapi(remove, async (c) => {
    await removeEndpoint(c.get("ports"), c.get("caller").accountId, c.req.valid("param").id);
    return c.body(null, 204);
  });
  app.openapi(rotate, async (c) => {
    const overlapMs = c.req.valid("json").overlap_s * 1_000;
    const { id } = c.req.valid("param");
    const issued = await rotateEndpointSecret(c.get("ports"), c.get("caller").accountId, id, overlapMs);
    return c.json(issued, 200, NO_STORE);
  });
  app.openapi(rotateOwn, async (c) => {
    const overlapMs = c.req.valid("json").overlap_s * 1_000;
    return c.json(await rotateSecret(c.get("ports"), c.get("caller").accountId, overlapMs), 200, NO_STORE);
  });
  app.openapi(test, async (c) => {
    const event = await sendTest(c.get("ports"), c.get("caller").accountId, c.req.valid("param").id);
    return c.json({ event_id: event }, 202);
  });
}
