import { createRoute } from "@hono/zod-openapi";
import { createClipSchema, estimateSchema } from "../../../shared/contract/clips.ts";
import type { EdgeApp } from "../../context.ts";
import { estimateClip } from "../../services/clips/estimate.ts";
import { BEARER, json, jsonBody, problems, REQUEST_REFUSALS } from "../responses.ts";

const route = createRoute({
  method: "post",
  path: "/v1/clips/estimate",
  operationId: "estimateClip",
  summary: "What an order would cost, and how long it would wait",
  description:
    "Takes the body of an order and keeps nothing of it. An order that nobody could send is answered as the order would " +
    "be; one that this account or key could not send now is answered with its price and `refusal`.",
  security: BEARER,
  request: jsonBody(createClipSchema),
  responses: {
    200: json(estimateSchema, "The estimate"),
    ...problems(...REQUEST_REFUSALS),
  },
});

export function registerEstimateClip(app: EdgeApp): void {
  app.openapi(route, async (c) => {
    const estimate = await estimateClip(c.get("ports"), c.get("caller"), c.req.valid("json"));
    return c.json(estimate, 200, { "cache-control": "no-store" });
  });
}
