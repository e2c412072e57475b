import { createRoute } from "@hono/zod-openapi";
import * as z from "zod";
import { createVideoSchema, videoSchema } from "../../../shared/contract/videos.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { EdgeApp } from "../../context.ts";
import { refuseBrokenText } from "../../middleware/body.ts";
import { createVideo } from "../../services/videos/create.ts";
import { BEARER, idempotencyKey, json, ORDER_REFUSALS, videoErrors } from "../responses.ts";

const route = createRoute({
  method: "post",
  path: "/v1/videos",
  operationId: "createVideo",
  summary: "Order a clip as OpenAI's clients do",
  description:
    "The clip is the same as one of `POST /v1/clips`, under the same id and at the same price. `seconds` is 4; models " +
    "and sizes are ours.",
  security: BEARER,
  middleware: async (c, next) => {
    if (!/^multipart\/form-data\b/i.test(c.req.header("content-type") ?? "")) {
      throw new ApiError("invalid_request", "Send the fields as multipart/form-data, as OpenAI's clients do.");
    }
    await next();
  },
  request: {
    body: { required: true, content: { "multipart/form-data": { schema: createVideoSchema } } },
    headers: z.object({ "idempotency-key": idempotencyKey }),
  },
  responses: {
    200: {
      ...json(videoSchema, "The queued video"),
      headers: z.object({ "idempotent-replayed": z.literal("true").optional() }),
    },
    ...videoErrors(...ORDER_REFUSALS),
  },
});

export function registerCreateVideo(app: EdgeApp): void {
  app.openapi(route, async (c) => {
    const { "idempotency-key": key = null } = c.req.valid("header");
    // No field that is taken is a file, so the whole form is text.
    refuseBrokenText(await c.req.arrayBuffer());
    const { video, replayed } = await createVideo(c.get("ports"), c.get("caller"), c.req.valid("form"), key);
    return c.json(video, 200, replayed ? { "idempotent-replayed": "true" as const } : {});
  });
}
