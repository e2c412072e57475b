import { createRoute } from "@hono/zod-openapi";
import * as z from "zod";
import { usageSchema } from "../../../shared/contract/accounting.ts";
import { utcDay } from "../../../shared/days.ts";
import type { EdgeApp } from "../../context.ts";
import { getUsage, MAX_USAGE_DAYS } from "../../services/money/usage.ts";
import { BEARER, json, problems } from "../responses.ts";

const day = z.iso
  .date()
  .transform((text) => utcDay(Date.parse(text)))
  .optional();

const route = createRoute({
  method: "get",
  path: "/v1/usage",
  operationId: "getUsage",
  summary: "What was spent, by UTC day, model and API key",
  description: `Both days are included; the last 30 days if they are absent, ${MAX_USAGE_DAYS} at most.`,
  security: BEARER,
  request: { query: z.strictObject({ from: day, to: day }) },
  responses: {
    200: json(usageSchema, "Integer micro-dollars"),
    ...problems("invalid_request"),
  },
});

export function registerGetUsage(app: EdgeApp): void {
  app.openapi(route, async (c) => {
    const { from, to } = c.req.valid("query");
    const usage = await getUsage(c.get("ports"), c.get("caller").accountId, { from, to });
    return c.json(usage, 200, { "cache-control": "no-store" });
  });
}
