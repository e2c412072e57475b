import { createRoute } from "@hono/zod-openapi";
import { modelListSchema } from "../../../shared/contract/models.ts";
import { FRAMES_PER_SECOND, MODELS } from "../../../shared/models.ts";
import type { EdgeApp } from "../../context.ts";
import { BEARER, json, problems } from "../responses.ts";

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
  app.openapi(route, (c) => {
    const data = MODELS.map((model) => ({
      id: model.id,
      object: "model" as const,
      task: model.task,
      sizes: [...model.sizes],
      default_frames: model.defaultFrames,
      max_frames: model.maxFrames,
      frames_per_second: FRAMES_PER_SECOND,
      base_price_micros: model.basePriceMicros,
    }));
    return c.json({ data }, 200);
  });
}
