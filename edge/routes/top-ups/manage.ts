// Buying credit.
import { createRoute } from "@hono/zod-openapi";
import * as z from "zod";
import {
  createTopUpSchema,
  listTopUpsSchema,
  topUpPageSchema,
  topUpSchema,
} from "../../../shared/contract/payments.ts";
import type { EdgeApp } from "../../context.ts";
import { createTopUp, getTopUp, listTopUps } from "../../services/payments/top-ups.ts";
import { BEARER, idempotencyKey, idParam, json, jsonBody, NO_STORE, problems } from "../responses.ts";

const PATH = "/v1/top-ups";

const create = createRoute({
  method: "post",
  path: PATH,
  operationId: "createTopUp",
  summary: "Buy credit on a page of Stripe",
  description: "Send the payer to `url`. The credit comes when Stripe has said that it is paid.",
  security: BEARER,
  request: { headers: z.object({ "idempotency-key": idempotencyKey }), ...jsonBody(createTopUpSchema) },
  responses: {
    201: json(topUpSchema, "The top-up, with its page to pay on"),
    ...problems(
      ...(["invalid_request", "body_too_large", "not_found"] as const),
      ...(["idempotency_mismatch", "expired", "payment_unavailable"] as const),
    ),
  },
});

const list = createRoute({
  method: "get",
  path: PATH,
  operationId: "listTopUps",
  summary: "Your top-ups, newest first",
  security: BEARER,
  request: { query: listTopUpsSchema },
  responses: { 200: json(topUpPageSchema, "A page of top-ups"), ...problems("invalid_request") },
});

const get = createRoute({
  method: "get",
  path: `${PATH}/{id}`,
  operationId: "getTopUp",
  summary: "One top-up, with its receipt",
  security: BEARER,
  request: { params: idParam("topUp") },
  responses: { 200: json(topUpSchema, "The top-up"), ...problems("not_found", "payment_unavailable") },
});

export function registerTopUps(app: EdgeApp): void {
  app.openapi(create, async (c) => {
    const key = c.req.valid("header")["idempotency-key"] ?? null;
    return c.json(await createTopUp(c.get("ports"), c.get("caller"), c.req.valid("json"), key), 201, NO_STORE);
  });
  app.openapi(list, async (c) =>
    c.json(await listTopUps(c.get("ports"), c.get("caller").accountId, c.req.valid("query")), 200, NO_STORE),
  );
  app.openapi(get, async (c) => {
    const { id } = c.req.valid("param");
    return c.json(await getTopUp(c.get("ports"), c.get("caller").accountId, id), 200, NO_STORE);
  });
}
