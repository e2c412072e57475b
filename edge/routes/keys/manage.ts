import { createRoute } from "@hono/zod-openapi";
import {
  apiKeyPageSchema,
  apiKeySchema,
  type ChangeApiKey,
  changeApiKeySchema,
  createApiKeySchema,
  issuedApiKeySchema,
  listApiKeysSchema,
} from "../../../shared/contract/keys.ts";
import { micros } from "../../../shared/pricing.ts";
import type { EdgeApp } from "../../context.ts";
import { changeKey } from "../../services/keys/change.ts";
import { issueKeyBy } from "../../services/keys/issue.ts";
import { getKey, listKeys, viewKey } from "../../services/keys/list.ts";
import { revokeKey } from "../../services/keys/revoke.ts";
import { BEARER, idParam, json, jsonBody, NO_STORE, problems } from "../responses.ts";

const listRoute = createRoute({
  method: "get",
  path: "/v1/keys",
  operationId: "listKeys",
  summary: "The account's API keys, newest first",
  description: "Also those that are revoked or have expired. Their secrets are not kept, so they are not told.",
  security: BEARER,
  request: { query: listApiKeysSchema },
  responses: { 200: json(apiKeyPageSchema, "A page of keys"), ...problems("invalid_request") },
});

const createKeyRoute = createRoute({
  method: "post",
  path: "/v1/keys",
  operationId: "createKey",
  summary: "Make an API key",
  description:
    "With scopes that the calling key has, a daily cap not above its own, and an expiry not after its own. Not to be " +
    "repeated blindly: if the answer was lost, list the keys and revoke the one that nobody has.",
  security: BEARER,
  request: jsonBody(createApiKeySchema),
  responses: {
    201: json(issuedApiKeySchema, "The key with its secret, shown this once"),
    ...problems("invalid_request", "exceeds_own_key", "too_many_keys"),
  },
});

const getRoute = createRoute({
  method: "get",
  path: "/v1/keys/{id}",
  operationId: "getKey",
  summary: "An API key of the account",
  security: BEARER,
  request: { params: idParam("key") },
  responses: { 200: json(apiKeySchema, "The key"), ...problems("not_found") },
});

const changeRoute = createRoute({
  method: "patch",
  path: "/v1/keys/{id}",
  operationId: "changeKey",
  summary: "Change an API key's name, scopes or daily cap",
  description:
    "Of a key that has no more than the calling key, to no more than the calling key has; from the next request on.",
  security: BEARER,
  request: { params: idParam("key"), ...jsonBody(changeApiKeySchema) },
  responses: {
    200: json(apiKeySchema, "The key as it then is"),
    ...problems("invalid_request", "not_found", "exceeds_own_key", "key_not_active"),
  },
});

const revokeRoute = createRoute({
  method: "delete",
  path: "/v1/keys/{id}",
  operationId: "revokeKey",
  summary: "Revoke an API key",
  description:
    "For good, with all its secrets and browser tokens, from the next request on; also the calling key itself. Clips that " +
    "it ordered go on.",
  security: BEARER,
  request: { params: idParam("key") },
  responses: { 204: { description: "Revoked" }, ...problems("not_found", "exceeds_own_key") },
});

/** From the members of a request to those of the row. */
export function keyChange({ name, scopes, daily_cap_micros: cap }: ChangeApiKey) {
  return {
    ...(name !== undefined && { name }),
    ...(scopes !== undefined && { scopes }),
    ...(cap !== undefined && { dailyCapMicros: cap === null ? null : micros(cap) }),
  };
}

export function registerManageKeys(app: EdgeApp): void {
  app.openapi(listRoute, async (c) => {
    const page = await listKeys(c.get("ports"), c.get("caller").accountId, c.req.valid("query"));
    return c.json(page, 200, NO_STORE);
  });
  app.openapi(createKeyRoute, async (c) => {
    const ports = c.get("ports");
    const { name, scopes, expires_at: expiresAt, daily_cap_micros: cap } = c.req.valid("json");
    const { row, key } = await issueKeyBy(ports, c.get("caller").key, {
      name,
      scopes,
      ...(expiresAt !== undefined && { expiresAtMs: expiresAt === null ? null : Date.parse(expiresAt) }),
      ...(cap !== undefined && { dailyCapMicros: cap === null ? null : micros(cap) }),
    });
    return c.json({ ...viewKey(row, ports.clock.now()), key }, 201, NO_STORE);
  });
  app.openapi(getRoute, async (c) => {
    const key = await getKey(c.get("ports"), c.get("caller").accountId, c.req.valid("param").id);
    return c.json(key, 200, NO_STORE);
  });
  app.openapi(changeRoute, async (c) => {
    const ports = c.get("ports");
    const { id } = c.req.valid("param");
    const row = await changeKey(ports, c.get("caller").key, id, keyChange(c.req.valid("json")));
    return c.json(viewKey(row, ports.clock.now()), 200, NO_STORE);
  });
  app.openapi(revokeRoute, async (c) => {
    await revokeKey(c.get("ports"), c.get("caller").key, c.req.valid("param").id);
    return c.body(null, 204);
  });
}
