import { createRoute } from "@hono/zod-openapi";
import { clipPageSchema, listClipsSchema } from "../../../shared/contract/clips.ts";
import type { EdgeApp } from "../../context.ts";
import { listClips } from "../../services/clips/list.ts";
import { BEARER, json, problems } from "../responses.ts";

const route = createRoute({
  method: "get",
  path: "/v1/clips",
  operationId: "listClips",
  summary: "Your clips, newest first",
  description:
    "Clips that are ordered while you page stand before the first page: none is skipped or told twice. In a list `queue` " +
    "is null, and progress is a few seconds old.",
  security: BEARER,
  request: { query: listClipsSchema },
  responses: {
    200: json(clipPageSchema, "A page of clips"),
    ...problems("unauthenticated", "key_revoked", "key_expired", "invalid_request"),
  },
});

export function registerListClips(app: EdgeApp): void {
  app.openapi(route, async (c) => {
    const page = await listClips(c.get("ports"), c.get("caller").accountId, c.req.valid("query"));
    return c.json(page, 200, { "cache-control": "no-store" });
  });
}
