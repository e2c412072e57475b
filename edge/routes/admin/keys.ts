// The operator's routes for the keys of any account: what an account's own key with keys:write may do, without its bounds.
import { createRoute } from "@hono/zod-openapi";
import { createKeySchema, issuedKeySchema } from "../../../shared/contract/admin.ts";
import {
  apiKeyPageSchema,
  apiKeySchema,
  changeApiKeySchema,
  issuedApiKeySchema,
  listApiKeysSchema,
  rotateApiKeySchema,
} from "../../../shared/contract/keys.ts";
import { micros } from "../../../shared/pricing.ts";
import type { EdgeApp } from "../../context.ts";
import { changeKey } from "../../services/keys/change.ts";
import { issueKey } from "../../services/keys/issue.ts";
import { listKeysOf, viewKey } from "../../services/keys/list.ts";
import { revokeKey } from "../../services/keys/revoke.ts";
import { rotateKey } from "../../services/keys/rotate.ts";
import { keyChange } from "../keys/manage.ts";
import { idParam, json, jsonBody, NO_STORE, problems } from "../responses.ts";

const createKeyRoute = createRoute({
  method: "post",
  path: "/admin/v1/accounts/{id}/keys",
  hide: true,
  request: { params: idParam("account"), ...jsonBody(createKeySchema) },
  responses: {
    201: json(issuedKeySchema, "The key, shown this once"),
    ...problems("unauthenticated", "not_found", "invalid_request", "too_many_keys"),
  },
});

const listRoute = createRoute({
  method: "get",
  path: "/admin/v1/accounts/{id}/keys",
  hide: true,
  request: { params: idParam("account"), query: listApiKeysSchema },
  responses: {
    200: json(apiKeyPageSchema, "A page of its keys, newest first"),
    ...problems("unauthenticated", "not_found", "invalid_request"),
  },
});

const changeRoute = createRoute({
  method: "patch",
  path: "/admin/v1/keys/{id}",
  hide: true,
  request: { params: idParam("key"), ...jsonBody(changeApiKeySchema) },
  responses: {
    200: json(apiKeySchema, "The key as it then is"),
    ...problems("unauthenticated", "not_found", "invalid_request", "key_not_active"),
  },
});

const rotateRoute = createRoute({
  method: "post",
  path: "/admin/v1/keys/{id}/rotate",
  hide: true,
  request: { params: idParam("key"), ...jsonBody(rotateApiKeySchema) },
  responses: {
    200: json(issuedApiKeySchema, "The key with its new secret, shown this once"),
    ...problems("unauthenticated", "not_found", "invalid_request", "key_not_active"),
  },
});

const revokeKeyRoute = createRoute({
  method: "delete",
  path: "/admin/v1/keys/{id}",
  hide: true,
  request: { params: idParam("key") },
  responses: { 204: { description: "Revoked" }, ...problems("unauthenticated", "not_found") },
});

export function registerAdminKeys(app: EdgeApp): void {
  app.openapi(createKeyRoute, async (c) => {
    const { name, expires_at, daily_cap_micros: cap, scopes } = c.req.valid("json");
    const expiresAtMs = expires_at === undefined ? null : Date.parse(expires_at);
    const dailyCapMicros = cap === null ? null : micros(cap);
    const wanted = { name, expiresAtMs, dailyCapMicros, ...(scopes !== undefined && { scopes }) };
    const { id, key, shownPrefix } = await issueKey(c.get("ports"), c.req.valid("param").id, wanted);
    return c.json({ id, key, prefix: shownPrefix }, 201, NO_STORE);
  });
  app.openapi(listRoute, async (c) => {
    const page = await listKeysOf(c.get("ports"), c.req.valid("param").id, c.req.valid("query"));
    return c.json(page, 200, NO_STORE);
  });
  app.openapi(changeRoute, async (c) => {
    const ports = c.get("ports");
    const row = await changeKey(ports, "operator", c.req.valid("param").id, keyChange(c.req.valid("json")));
    return c.json(viewKey(row, ports.clock.now()), 200, NO_STORE);
  });
  app.openapi(rotateRoute, async (c) => {
    const ports = c.get("ports");
    const overlapMs = c.req.valid("json").overlap_seconds * 1_000;
    const { row, key } = await rotateKey(ports, "operator", c.req.valid("param").id, overlapMs);
    return c.json({ ...viewKey(row, ports.clock.now()), key }, 200, NO_STORE);
  });
  app.openapi(revokeKeyRoute, async (c) => {
    await revokeKey(c.get("ports"), "operator", c.req.valid("param").id);
    return c.body(null, 204);
  });
}
