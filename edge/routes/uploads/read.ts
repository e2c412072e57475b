import { createRoute } from "@hono/zod-openapi";
import { uploadSchema } from "../../../shared/contract/uploads.ts";
import type { EdgeApp } from "../../context.ts";
import { getUpload } from "../../services/uploads/get.ts";
import { removeUpload } from "../../services/uploads/remove.ts";
import { BEARER, idParam, json, problems } from "../responses.ts";

const getRoute = createRoute({
  method: "get",
  path: "/v1/uploads/{id}",
  operationId: "getUpload",
  summary: "An upload as it stands",
  security: BEARER,
  request: { params: idParam("upload") },
  responses: {
    200: json(uploadSchema, "The upload"),
    ...problems("not_found"),
  },
});

const deleteRoute = createRoute({
  method: "delete",
  path: "/v1/uploads/{id}",
  operationId: "deleteUpload",
  summary: "Remove an upload",
  security: BEARER,
  request: { params: idParam("upload") },
  responses: {
    204: { description: "It is gone" },
    ...problems("not_found"),
  },
});

export function registerReadUploads(app: EdgeApp): void {
  app.openapi(getRoute, async (c) => {
    const upload = await getUpload(c.get("ports"), c.get("caller").accountId, c.req.valid("param").id);
    return c.json(upload, 200, { "cache-control": "no-store" });
  });
  app.openapi(deleteRoute, async (c) => {
    await removeUpload(c.get("ports"), c.get("caller").accountId, c.req.valid("param").id);
    return c.body(null, 204);
  });
}
