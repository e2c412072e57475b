// Automatic top-ups, as the account sets them up.
import { createRoute } from "@hono/zod-openapi";
import { autoTopUpSchema, setAutoTopUpSchema } from "../../../shared/contract/auto-top-up.ts";
import type { EdgeApp } from "../../context.ts";
import { endAutoTopUp, getAutoTopUp, setAutoTopUp } from "../../services/payments/auto-top-up.ts";
import { BEARER, json, jsonBody, NO_STORE, problems } from "../responses.ts";

const PATH = "/v1/auto-top-up";

const get = createRoute({
  method: "get",
  path: PATH,
  operationId: "getAutoTopUp",
  summary: "How automatic top-ups stand",
  security: BEARER,
  responses: { 200: json(autoTopUpSchema, "The settings, and how they stand"), ...problems() },
});

const set = createRoute({
  method: "put",
  path: PATH,
  operationId: "setAutoTopUp",
  summary: "Have the kept card charged when the balance runs low",
  description:
    "The card is that of your last top-up with `save_card`. When a charge is refused your webhook endpoints get " +
    "`auto_top_up.failed`, and nothing is charged until the settings are put again.",
  security: BEARER,
  request: jsonBody(setAutoTopUpSchema),
  responses: {
    200: json(autoTopUpSchema, "The settings, and how they stand"),
    ...problems("invalid_request", "body_too_large", "not_found"),
  },
});

const end = createRoute({
  method: "delete",
  path: PATH,
  operationId: "endAutoTopUp",
  summary: "Charge nothing by itself any more",
  description: "A charge that is under way may still be paid; it is credited then.",
  security: BEARER,
  responses: { 200: json(autoTopUpSchema, "They are off"), ...problems() },
});

export function registerAutoTopUp(app: EdgeApp): void {
  app.openapi(get, async (c) => c.json(await getAutoTopUp(c.get("ports"), c.get("caller").accountId), 200, NO_STORE));
  app.openapi(set, async (c) =>
    c.json(await setAutoTopUp(c.get("ports"), c.get("caller"), c.req.valid("json")), 200, NO_STORE),
  );
  app.openapi(end, async (c) => c.json(await endAutoTopUp(c.get("ports"), c.get("caller")), 200, NO_STORE));
}
