import { createRoute } from "@hono/zod-openapi";
import { limitListSchema } from "../../../shared/contract/limits.ts";
import type { EdgeApp } from "../../context.ts";
import { listLimits } from "../../services/accounts/list-limits.ts";
import { BEARER, json, problems } from "../responses.ts";

const route = createRoute({
  method: "get",
  path: "/v1/limits",
  operationId: "listLimits",
  summary: "What orders are held to, and how much of it is used",
  description:
    "The account's and this key's caps of the UTC day, where they are set, and the maximum of clips in flight.",
  security: BEARER,
  responses: {
    200: json(limitListSchema, "The limits"),
    ...problems("unauthenticated", "key_revoked", "key_expired"),
  },
});

export function registerListLimits(app: EdgeApp): void {
  app.openapi(route, async (c) => {
    const limits = await listLimits(c.get("ports"), c.get("caller"));
    return c.json(limits, 200, { "cache-control": "no-store" });
  });
}
