import { createRoute } from "@hono/zod-openapi";
import * as z from "zod";
import { VIDEO_VARIANTS } from "../../../shared/contract/videos.ts";
import type { EdgeApp } from "../../context.ts";
import { readContent } from "../../services/videos/content.ts";
import { answerFile, FILE_ANSWERS, fileRequest } from "../files/answer.ts";
import { BEARER, idParam, videoErrors } from "../responses.ts";

const route = createRoute({
  method: "get",
  path: "/v1/videos/{id}/content",
  operationId: "downloadVideo",
  summary: "Download a video as OpenAI's clients do",
  description: "By the key instead of a signed URL. HEAD, Range and If-None-Match work as usual.",
  security: BEARER,
  request: {
    params: idParam("clip"),
    query: z.object({
      variant: z.enum(VIDEO_VARIANTS).default("video").meta({ description: "The MP4, or one frame as JPEG" }),
    }),
  },
  responses: {
    ...FILE_ANSWERS,
    ...videoErrors("not_found", "invalid_request", "expired", "range_not_satisfiable"),
  },
});

export function registerVideoContent(app: EdgeApp): void {
  app.openapi(route, async (c) => {
    const { id } = c.req.valid("param");
    const { variant } = c.req.valid("query");
    const answer = await readContent(c.get("ports"), c.get("caller").accountId, { id, variant, ...fileRequest(c) });
    return answerFile(c, answer);
  });
}
