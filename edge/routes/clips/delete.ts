import { createRoute } from "@hono/zod-openapi";
import type { EdgeApp } from "../../context.ts";
import { deleteClip } from "../../services/clips/delete.ts";
import { BEARER, idParam, problems } from "../responses.ts";

const route = createRoute({
  method: "delete",
  path: "/v1/clips/{id}",
  operationId: "deleteClip",
  summary: "Delete a clip that has ended",
  description:
    "Erases its prompt, metadata and files, and the answers kept for its Idempotency-Key; a repetition of its order is then " +
    "`clip_deleted`. Its charge stays in the ledger. Deleting it again answers the same.",
  security: BEARER,
  request: { params: idParam("clip") },
  responses: { 204: { description: "Deleted" }, ...problems("not_found", "not_deletable") },
});

export function registerDeleteClip(app: EdgeApp): void {
  app.openapi(route, async (c) => {
    await deleteClip(c.get("ports"), c.get("caller").accountId, c.req.valid("param").id);
    return c.body(null, 204);
  });
}
