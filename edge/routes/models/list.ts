import { createRoute } from "@hono/zod-openapi";
import { modelListSchema } from "../../../shared/contract/models.ts";
import type { EdgeApp } from "../../context.ts";
import { listModels } from "../../services/models/list.ts";
import { BEARER, json, NO_STORE, problems } from "../responses.ts";

const route = createRoute({
  method: "get",
  path: "/v1/models",
  operationId: "listModels",
  summary: "Models, what they make and what it costs",
  security: BEARER,
  responses: {
    200: json(modelListSchema, "All models"),
    ...problems(),
  },
});

export function registerListModels(app: EdgeApp): void {
  app.openapi(route, async (c) => c.json({ data: await listModels(c.get("ports")) }, 200, NO_STORE));
}
