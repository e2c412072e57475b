import { createRoute } from "@hono/zod-openapi";
import * as z from "zod";
import { LEDGER_PAGE, ledgerCursorSchema, ledgerPageSchema } from "../../../shared/contract/accounting.ts";
import type { EdgeApp } from "../../context.ts";
import { listLedger } from "../../services/money/ledger.ts";
import { BEARER, json, problems } from "../responses.ts";

const route = createRoute({
  method: "get",
  path: "/v1/ledger",
  operationId: "listLedger",
  summary: "Every movement of the balance, newest first",
  description: "The sums of `available_micros` and `held_micros` over the whole ledger are the balance.",
  security: BEARER,
  request: {
    query: z.strictObject({
      limit: z.coerce.number().int().min(1).max(LEDGER_PAGE.max).default(LEDGER_PAGE.default),
      after: ledgerCursorSchema.optional().meta({ description: "`next` of the page before" }),
    }),
  },
  responses: {
    200: json(ledgerPageSchema, "A page of transactions"),
    ...problems("invalid_request"),
  },
});

export function registerListLedger(app: EdgeApp): void {
  app.openapi(route, async (c) => {
    const { limit, after } = c.req.valid("query");
    const page = await listLedger(c.get("ports"), c.get("caller").accountId, { limit, after: after ?? null });
    return c.json(page, 200, { "cache-control": "no-store" });
  });
}
