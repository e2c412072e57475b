// Below which balance the account's webhook endpoints are told.
import { createRoute } from "@hono/zod-openapi";
import { balanceAlertSchema } from "../../../shared/contract/balance.ts";
import type { EdgeApp } from "../../context.ts";
import { getAlert, setAlert } from "../../services/money/alert.ts";
import { BEARER, json, jsonBody, NO_STORE, problems } from "../responses.ts";

const PATH = "/v1/balance-alert";

const get = createRoute({
  method: "get",
  path: PATH,
  operationId: "getBalanceAlert",
  summary: "Below which balance you are told",
  security: BEARER,
  responses: { 200: json(balanceAlertSchema, "The threshold"), ...problems() },
});

const set = createRoute({
  method: "put",
  path: PATH,
  operationId: "setBalanceAlert",
  summary: "Be told when the balance runs low",
  description: "Your webhook endpoints get `balance.low` each time that what can be spent falls below it.",
  security: BEARER,
  request: jsonBody(balanceAlertSchema),
  responses: { 200: json(balanceAlertSchema, "The threshold"), ...problems("invalid_request", "body_too_large") },
});

export function registerBalanceAlert(app: EdgeApp): void {
  app.openapi(get, async (c) => c.json(await getAlert(c.get("ports"), c.get("caller").accountId), 200, NO_STORE));
  app.openapi(set, async (c) =>
    c.json(await setAlert(c.get("ports"), c.get("caller").accountId, c.req.valid("json")), 200, NO_STORE),
  );
}
