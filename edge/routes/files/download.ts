import { createRoute } from "@hono/zod-openapi";
import * as z from "zod";
import { OUTPUT_KINDS } from "../../../shared/contract/runner.ts";
import { idSchema } from "../../../shared/ids.ts";
import type { EdgeApp } from "../../context.ts";
import { download } from "../../services/files/download.ts";
import { problems } from "../responses.ts";
import { answerFile, FILE_ANSWERS, fileRequest } from "./answer.ts";

/** What the Fetch standard does not show to a page's script by itself. */
const READ_BY_PAGES = "accept-ranges, content-disposition, content-range, etag, x-request-id";

const integer = (digits: number) =>
  z
    .string()
    .regex(new RegExp(`^[0-9]{1,${digits}}$`), "must be an integer")
    .transform(Number);

const route = createRoute({
  method: "get",
  path: "/v1/files/{clip}/{variant}",
  operationId: "downloadFile",
  summary: "Download an output by its signed URL",
  description:
    "The URL comes from the clip and needs no key. HEAD, Range and If-None-Match work as usual. Pages of any origin may read " +
    "the answer: whoever has the URL may.",
  middleware: async (c, next) => {
    c.header("access-control-allow-origin", "*");
    c.header("access-control-expose-headers", READ_BY_PAGES);
    await next();
  },
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
    ...FILE_ANSWERS,
    ...problems(
      "unauthenticated",
      "not_found",
      "invalid_request",
      "expired",
      "range_not_satisfiable",
      "headers_too_large",
    ),
  },
});

export function registerDownload(app: EdgeApp): void {
  app.openapi(route, async (c) => {
    const { clip: clipId, variant: kind } = c.req.valid("param");
    const answer = await download(c.get("ports"), {
      link: { clipId, kind, ...c.req.valid("query") },
      ...fileRequest(c),
    });
    return answerFile(c, answer);
  });
}
