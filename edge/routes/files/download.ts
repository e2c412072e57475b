import { createRoute } from "@hono/zod-openapi";
import * as z from "zod";
import { OUTPUT_KINDS } from "../../../shared/contract/runner.ts";
import { idSchema } from "../../../shared/ids.ts";
import type { EdgeApp } from "../../context.ts";
import { download } from "../../services/files/download.ts";
import { problems } from "../responses.ts";

const integer = (digits: number) =>
  z
    .string()
    .regex(new RegExp(`^[0-9]{1,${digits}}$`), "must be an integer")
    .transform(Number);

const file = { content: { "video/mp4": {}, "image/jpeg": {} } };

const route = createRoute({
  method: "get",
  path: "/v1/files/{clip}/{variant}",
  operationId: "downloadFile",
  summary: "Download an output by its signed URL",
  description: "The URL comes from the clip and needs no key. HEAD, Range and If-None-Match work as usual.",
  request: {
    params: z.object({ clip: idSchema("clip"), variant: z.enum(OUTPUT_KINDS) }),
    query: z.object({
      attempt: integer(6),
      expires: integer(12).meta({ description: "Seconds since 1970" }),
      kid: z.string().max(32),
      sig: z.string().max(64),
    }),
  },
  responses: {
    200: { description: "The whole file", ...file },
    206: { description: "The part asked for", ...file },
    304: { description: "Unchanged" },
    ...problems("unauthenticated", "not_found", "invalid_request", "expired", "range_not_satisfiable"),
  },
});

export function registerDownload(app: EdgeApp): void {
  app.openapi(route, async (c) => {
    const { clip: clipId, variant: kind } = c.req.valid("param");
    const answer = await download(c.get("ports"), {
      link: { clipId, kind, ...c.req.valid("query") },
      method: c.req.method === "HEAD" ? "HEAD" : "GET",
      range: c.req.header("range"),
      ifRange: c.req.header("if-range"),
      ifNoneMatch: c.req.header("if-none-match"),
    });
    // A stream of known length, so that the answer has Content-Length instead of chunks.
    const body = answer.body?.pipeThrough(new FixedLengthStream(answer.length)) ?? null;
    return c.newResponse(body, answer.status, answer.headers);
  });
}
