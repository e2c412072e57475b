// The operator's routes for customers: accounts and credit.
import { createRoute } from "@hono/zod-openapi";
import * as z from "zod";
import { accountSchema, createAccountSchema, grantReplySchema, grantSchema } from "../../../shared/contract/admin.ts";
import { micros } from "../../../shared/pricing.ts";
import type { EdgeApp } from "../../context.ts";
import { createAccount } from "../../services/accounts/create.ts";
import { grantCredit } from "../../services/money/grant.ts";
import { idempotencyKey, idParam, json, jsonBody, problems, requireKey } from "../responses.ts";

const createAccountRoute = createRoute({
  method: "post",
  path: "/admin/v1/accounts",
  hide: true,
  request: jsonBody(createAccountSchema),
  responses: { 201: json(accountSchema, "The account"), ...problems("unauthenticated", "invalid_request") },
});

const grantRoute = createRoute({
  method: "post",
  path: "/admin/v1/accounts/{id}/grants",
  hide: true,
  request: {
    params: idParam("account"),
    headers: z.object({ "idempotency-key": idempotencyKey }),
    ...jsonBody(grantSchema),
  },
  responses: {
    201: json(grantReplySchema, "The credit is granted"),
    ...problems("unauthenticated", "not_found", "invalid_request", "idempotency_in_flight", "idempotency_mismatch"),
  },
});

export function registerAdminAccounts(app: EdgeApp): void {
  app.openapi(createAccountRoute, async (c) => {
    const { name } = c.req.valid("json");
    return c.json({ id: await createAccount(c.get("ports"), name), name }, 201);
  });
  app.openapi(grantRoute, async (c) => {
    const { amount_micros, reason, idempotency_key } = c.req.valid("json");
    const answer = await grantCredit(c.get("ports"), {
      accountId: c.req.valid("param").id,
      amountMicros: micros(amount_micros),
      reason,
      idempotencyKey: requireKey(c.req.valid("header")["idempotency-key"] ?? idempotency_key),
    });
    return c.json(grantReplySchema.parse(JSON.parse(answer)), 201);
  });
}
