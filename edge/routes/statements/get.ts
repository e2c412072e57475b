import { createRoute } from "@hono/zod-openapi";
import * as z from "zod";
import type { EdgeApp } from "../../context.ts";
import { openStatement } from "../../services/money/statement.ts";
import { BEARER, problems } from "../responses.ts";

const file = z
  .string()
  .regex(/^20\d{2}-(0[1-9]|1[0-2])\.csv$/)
  .meta({ param: { name: "file", in: "path" }, description: "YYYY-MM.csv, a UTC month", example: "2026-11.csv" });

const route = createRoute({
  method: "get",
  path: "/v1/statements/{file}",
  operationId: "getStatement",
  summary: "A month's statement as CSV",
  description: "Every charge, refund and credit between the opening and the closing balance; so far, for this month.",
  security: BEARER,
  request: { params: z.object({ file }) },
  responses: {
    200: { description: "RFC 4180, with a header line", content: { "text/csv": {} } },
    ...problems("unauthenticated", "key_revoked", "key_expired", "not_found"),
  },
});

export function registerGetStatement(app: EdgeApp): void {
  app.openapi(route, async (c) => {
    const { file: name } = c.req.valid("param");
    const pages = openStatement(c.get("ports"), c.get("caller").accountId, name.slice(0, -".csv".length));
    // The first page comes before the status, so that a database that fails is a problem and not half a file.
    const first = await pages.next();
    const utf8 = new TextEncoder();
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        if (!first.done) controller.enqueue(utf8.encode(first.value));
      },
      async pull(controller) {
        const page = await pages.next();
        if (page.done) controller.close();
        else controller.enqueue(utf8.encode(page.value));
      },
      async cancel() {
        await pages.return();
      },
    });
    return c.newResponse(body, 200, {
      "content-type": "text/csv; charset=utf-8; header=present",
      "content-disposition": `attachment; filename="turboclip-${name}"`,
      "cache-control": "no-store",
    });
  });
}
