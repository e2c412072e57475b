import { createRoute } from "@hono/zod-openapi";
import { clipSchema } from "../../../shared/contract/clips.ts";
import type { EdgeApp } from "../../context.ts";
import { getClip } from "../../services/clips/get.ts";
import { BEARER, idParam, json, problems } from "../responses.ts";

const route = createRoute({
  method: "get",
  path: "/v1/clips/{id}",
  operationId: "getClip",
  summary: "A clip as it stands",
  description: "State, progress while it runs, and fresh download URLs once it has succeeded.",
  security: BEARER,
  request: { params: idParam("clip") },
  responses: {
    200: json(clipSchema, "The clip"),
    ...problems("unauthenticated", "key_revoked", "key_expired", "not_found"),
  },
});

export function registerGetClip(app: EdgeApp): void {
  app.openapi(route, async (c) => {
    const clip = await getClip(c.get("ports"), c.get("caller").accountId, c.req.valid("param").id);
    return c.json(clip, 200, { "cache-control": "no-store" });
  });
}
