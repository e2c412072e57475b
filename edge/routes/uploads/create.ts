import { createRoute } from "@hono/zod-openapi";
import { createUploadSchema, UPLOAD_LIMITS, uploadSchema } from "../../../shared/contract/uploads.ts";
import type { EdgeApp } from "../../context.ts";
import { completeUpload } from "../../services/uploads/complete.ts";
import { createUpload } from "../../services/uploads/create.ts";
import { BEARER, idParam, json, jsonBody, problems } from "../responses.ts";

const { bytes, side } = UPLOAD_LIMITS;

const createUploadRoute = createRoute({
  method: "post",
  path: "/v1/uploads",
  operationId: "createUpload",
  summary: "Bring a picture",
  description:
    `Answers with a signed URL. PUT the file there with exactly the headers given, then complete the upload. PNG, JPEG ` +
    `or WebP, at most ${bytes} bytes, each side ${side.min} to ${side.max} pixels.`,
  security: BEARER,
  request: jsonBody(createUploadSchema),
  responses: {
    201: json(uploadSchema, "The upload, and where to put the file"),
    ...problems("invalid_request", "body_too_large", "rate_limited"),
  },
});

const completeRoute = createRoute({
  method: "post",
  path: "/v1/uploads/{id}/complete",
  operationId: "completeUpload",
  summary: "Say that the picture has been put",
  description: "Looks at the file: length, type and size in pixels. Completing it again answers the same.",
  security: BEARER,
  request: { params: idParam("upload") },
  responses: {
    200: json(uploadSchema, "The upload is ready, and kept for a day"),
    ...problems("not_found", "upload_missing", "upload_rejected"),
  },
});

export function registerCreateUpload(app: EdgeApp): void {
  app.openapi(createUploadRoute, async (c) => {
    const upload = await createUpload(c.get("ports"), c.get("caller").accountId, c.req.valid("json"));
    return c.json(upload, 201, { "cache-control": "no-store" });
  });
  app.openapi(completeRoute, async (c) => {
    const upload = await completeUpload(c.get("ports"), c.get("caller").accountId, c.req.valid("param").id);
    return c.json(upload, 200);
  });
}
