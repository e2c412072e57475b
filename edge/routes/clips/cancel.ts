import { createRoute } from "@hono/zod-openapi";
import { clipSchema } from "../../../shared/contract/clips.ts";
import type { EdgeApp } from "../../context.ts";
import { cancelClip } from "../../services/clips/cancel.ts";
import { BEARER, idParam, json, problems } from "../responses.ts";

const route = createRoute({
  method: "post",
  path: "/v1/clips/{id}/cancel",
  operationId: "cancelClip",
  summary: "Cancel a clip",
  description: "Ends a clip that has not ended; it is not charged. Cancelling it again answers the same.",
  security: BEARER,
  request: { params: idParam("clip") },
  responses: {
    200: json(clipSchema, "The cancelled clip"),
    ...problems("not_found", "not_cancellable"),
  },
});

export function registerCancelClip(app: EdgeApp): void {
  app.openapi(route, async (c) => {
    const clip = await cancelClip(c.get("ports"), c.get("caller").accountId, c.req.valid("param").id);
    return c.json(clip, 200);
  });
}
