import { createRoute } from "@hono/zod-openapi";
import { deletedVideoSchema } from "../../../shared/contract/videos.ts";
import type { EdgeApp } from "../../context.ts";
import { deleteClip } from "../../services/clips/delete.ts";
import { BEARER, idParam, json, videoErrors } from "../responses.ts";

const route = createRoute({
  method: "delete",
  path: "/v1/videos/{id}",
  operationId: "deleteVideo",
  summary: "Delete a clip as OpenAI's clients do",
  description: "The same as DELETE /v1/clips/{id}.",
  security: BEARER,
  request: { params: idParam("clip") },
  responses: { 200: json(deletedVideoSchema, "Deleted"), ...videoErrors("not_found", "not_deletable") },
});

export function registerDeleteVideo(app: EdgeApp): void {
  app.openapi(route, async (c) => {
    const { id } = c.req.valid("param");
    await deleteClip(c.get("ports"), c.get("caller").accountId, id);
    return c.json({ id, object: "video.deleted" as const, deleted: true as const }, 200);
  });
}
