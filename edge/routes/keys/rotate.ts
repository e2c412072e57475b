import { createRoute } from "@hono/zod-openapi";
import { issuedApiKeySchema, KEY_LIMITS, rotateApiKeySchema } from "../../../shared/contract/keys.ts";
import type { EdgeApp } from "../../context.ts";
import { viewKey } from "../../services/keys/list.ts";
import { rotateKey } from "../../services/keys/rotate.ts";
import { BEARER, idParam, json, jsonBody, NO_STORE, problems } from "../responses.ts";

const route = createRoute({
  method: "post",
  path: "/v1/keys/{id}/rotate",
  operationId: "rotateKey",
  summary: "Give an API key a new secret",
  description:
    "The secrets so far stay good for `overlap_seconds`. The key keeps its id, scopes and caps. If the answer was lost, " +
    `rotate again with the secret that you have; a key has at most ${KEY_LIMITS.secrets} good secrets, and one more ends the oldest.`,
  security: BEARER,
  request: { params: idParam("key"), ...jsonBody(rotateApiKeySchema) },
  responses: {
    200: json(issuedApiKeySchema, "The key with its new secret, shown this once"),
    ...problems("invalid_request", "not_found", "exceeds_own_key", "key_not_active"),
  },
});

export function registerRotateKey(app: EdgeApp): void {
  app.openapi(route, async (c) => {
    const ports = c.get("ports");
    const overlapMs = c.req.valid("json").overlap_seconds * 1_000;
    const { row, key } = await rotateKey(ports, c.get("caller").key, c.req.valid("param").id, overlapMs);
    return c.json({ ...viewKey(row, ports.clock.now()), key }, 200, NO_STORE);
  });
}
