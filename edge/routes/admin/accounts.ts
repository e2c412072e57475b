// The operator's routes for customers: accounts, credit, keys.
import { createRoute } from "@hono/zod-openapi";
import * as z from "zod";
import {
  accountSchema,
  createAccountSchema,
  createKeySchema,
  grantReplySchema,
  grantSchema,
  issuedKeySchema,
} from "../../../shared/contract/admin.ts";
import { micros } from "../../../shared/pricing.ts";
import type { EdgeApp } from "../../context.ts";
import { createAccount } from "../../services/accounts/create.ts";
import { issueKey } from "../../services/keys/issue.ts";
import { revokeKey } from "../../services/keys/revoke.ts";
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

const createKeyRoute = createRoute({
  method: "post",
  path: "/admin/v1/accounts/{id}/keys",
  hide: true,
  request: { params: idParam("account"), ...jsonBody(createKeySchema) },
  responses: {
    201: json(issuedKeySchema, "The key, shown this once"),
    ...problems("unauthenticated", "not_found", "invalid_request"),
  },
});

const revokeKeyRoute = createRoute({
  method: "delete",
  path: "/admin/v1/keys/{id}",
  hide: true,
  request: { params: idParam("key") },
  responses: { 204: { description: "Revoked" }, ...problems("unauthenticated", "not_found") },
});

const SECRET = { "cache-control": "no-store" };

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
  app.openapi(createKeyRoute, async (c) => {
    const { name, expires_at, daily_cap_micros: cap } = c.req.valid("json");
    const expiresAtMs = expires_at === undefined ? null : Date.parse(expires_at);
    const dailyCapMicros = cap === null ? null : micros(cap);
    const wanted = { name, expiresAtMs, dailyCapMicros };
    const { id, key, shownPrefix } = await issueKey(c.get("ports"), c.req.valid("param").id, wanted);
    return c.json({ id, key, prefix: shownPrefix }, 201, SECRET);
  });
  app.openapi(revokeKeyRoute, async (c) => {
    await revokeKey(c.get("ports"), c.req.valid("param").id);
    return c.body(null, 204);
  });
}
