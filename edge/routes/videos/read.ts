import { createRoute } from "@hono/zod-openapi";
import { listVideosSchema, videoPageSchema, videoSchema } from "../../../shared/contract/videos.ts";
import type { EdgeApp } from "../../context.ts";
import { getClip } from "../../services/clips/get.ts";
import { listVideos } from "../../services/videos/list.ts";
import { viewVideo } from "../../services/videos/view.ts";
import { BEARER, idParam, json, videoErrors } from "../responses.ts";

const getRoute = createRoute({
  method: "get",
  path: "/v1/videos/{id}",
  operationId: "getVideo",
  summary: "A clip as OpenAI's clients see it",
  security: BEARER,
  request: { params: idParam("clip") },
  responses: {
    200: json(videoSchema, "The video"),
    ...videoErrors("not_found"),
  },
});

const listRoute = createRoute({
  method: "get",
  path: "/v1/videos",
  operationId: "listVideos",
  summary: "Your clips as OpenAI's clients see them",
  description: "All clips of the account, however they were ordered.",
  security: BEARER,
  request: { query: listVideosSchema },
  responses: {
    200: json(videoPageSchema, "A page of videos"),
    ...videoErrors("invalid_request"),
  },
});

export function registerReadVideos(app: EdgeApp): void {
  app.openapi(getRoute, async (c) => {
    const clip = await getClip(c.get("ports"), c.get("caller").accountId, c.req.valid("param").id);
    return c.json(viewVideo(clip), 200, { "cache-control": "no-store" });
  });
  app.openapi(listRoute, async (c) => {
    const page = await listVideos(c.get("ports"), c.get("caller").accountId, c.req.valid("query"));
    return c.json(page, 200, { "cache-control": "no-store" });
  });
}
