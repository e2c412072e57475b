// Triggers: URLs to which other systems post, and the templates that make orders of what they post.
import { createRoute } from "@hono/zod-openapi";
import {
  createTriggerSchema,
  issuedTriggerSchema,
  previewTriggerSchema,
  rotateTriggerSchema,
  triggerListSchema,
  triggerPreviewSchema,
  triggerSchema,
  updateTriggerSchema,
} from "../../../shared/contract/triggers.ts";
import type { EdgeApp } from "../../context.ts";
import {
  changeTrigger,
  createTrigger,
  getTrigger,
  listTriggers,
  removeTrigger,
  rotateTrigger,
} from "../../services/triggers/manage.ts";
import type { JsonValue } from "../../services/triggers/path.ts";
import { previewTrigger } from "../../services/triggers/preview.ts";
import { BEARER, idParam, json, jsonBody, NO_STORE, problems } from "../responses.ts";

const PATH = "/v1/triggers";
const ONE = `${PATH}/{id}`;
const oneParam = { params: idParam("trigger") };
/** What each clip would be refused by, whatever is posted. */
const SETTINGS = ["invalid_request", "model_unknown", "size_not_allowed", "frames_invalid"] as const;
const MANAGED = ["not_found", "exceeds_own_key"] as const;

const create = createRoute({
  method: "post",
  path: PATH,
  operationId: "createTrigger",
  summary: "Make a URL that orders a clip of what is posted to it",
  description: "It orders with the calling key, and ends with this key. The URL is a secret, which is not shown again.",
  security: BEARER,
  request: jsonBody(createTriggerSchema),
  responses: { 201: json(issuedTriggerSchema, "The trigger and its URL"), ...problems(...SETTINGS) },
});

const list = createRoute({
  method: "get",
  path: PATH,
  operationId: "listTriggers",
  summary: "Your triggers, oldest first",
  security: BEARER,
  responses: { 200: json(triggerListSchema, "The triggers"), ...problems() },
});

const get = createRoute({
  method: "get",
  path: ONE,
  operationId: "getTrigger",
  summary: "One trigger",
  security: BEARER,
  request: oneParam,
  responses: { 200: json(triggerSchema, "The trigger"), ...problems("not_found") },
});

const update = createRoute({
  method: "patch",
  path: ONE,
  operationId: "updateTrigger",
  summary: "Change, disable or enable a trigger",
  description: "From the next delivery on. A key manages the triggers of keys that have no more than itself.",
  security: BEARER,
  request: { ...oneParam, ...jsonBody(updateTriggerSchema) },
  responses: { 200: json(triggerSchema, "The trigger as it is now"), ...problems(...SETTINGS, ...MANAGED) },
});

const remove = createRoute({
  method: "delete",
  path: ONE,
  operationId: "deleteTrigger",
  summary: "Delete a trigger",
  description: "With what is listed of its deliveries. The clips that it ordered stay.",
  security: BEARER,
  request: oneParam,
  responses: { 204: { description: "It is gone" }, ...problems(...MANAGED) },
});

const rotate = createRoute({
  method: "post",
  path: `${ONE}/rotate`,
  operationId: "rotateTrigger",
  summary: "Give a trigger a new URL",
  description: "The URLs so far stay good for `overlap_s`. If the answer was lost, rotate again.",
  security: BEARER,
  request: { ...oneParam, ...jsonBody(rotateTriggerSchema) },
  responses: {
    200: json(issuedTriggerSchema, "The trigger with its new URL"),
    ...problems("invalid_request", ...MANAGED),
  },
});

const preview = createRoute({
  method: "post",
  path: `${ONE}/preview`,
  operationId: "previewTrigger",
  summary: "What a trigger would order of a body",
  description: "Orders nothing and charges nothing.",
  security: BEARER,
  request: { ...oneParam, ...jsonBody(previewTriggerSchema) },
  responses: {
    200: json(triggerPreviewSchema, "The order that it would make"),
    ...problems(...SETTINGS, "prompt_empty", "prompt_too_long", "not_found"),
  },
});

export function registerManageTriggers(app: EdgeApp): void {
  app.openapi(create, async (c) =>
    c.json(await createTrigger(c.get("ports"), c.get("caller"), c.req.valid("json")), 201, NO_STORE),
  );
  app.openapi(list, async (c) => c.json(await listTriggers(c.get("ports"), c.get("caller").accountId), 200, NO_STORE));
  app.openapi(get, async (c) => {
    const { id } = c.req.valid("param");
    return c.json(await getTrigger(c.get("ports"), c.get("caller").accountId, id), 200, NO_STORE);
  });
  app.openapi(update, async (c) => {
    const { id } = c.req.valid("param");
    return c.json(await changeTrigger(c.get("ports"), c.get("caller"), id, c.req.valid("json")), 200, NO_STORE);
  });
  app.openapi(remove, async (c) => {
    await removeTrigger(c.get("ports"), c.get("caller"), c.req.valid("param").id);
    return c.body(null, 204);
  });
  app.openapi(rotate, async (c) => {
    const overlapMs = c.req.valid("json").overlap_s * 1_000;
    const { id } = c.req.valid("param");
    return c.json(await rotateTrigger(c.get("ports"), c.get("caller"), id, overlapMs), 200, NO_STORE);
  });
  app.openapi(preview, async (c) => {
    const { id } = c.req.valid("param");
    const body = c.req.valid("json").body as JsonValue; // it was read from JSON
    return c.json(await previewTrigger(c.get("ports"), c.get("caller").accountId, id, body), 200, NO_STORE);
  });
}
