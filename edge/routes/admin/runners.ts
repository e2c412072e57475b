// The operator's route for runners.
import { createRoute } from "@hono/zod-openapi";
import { createRunnerSchema, issuedRunnerSchema } from "../../../shared/contract/admin.ts";
import type { EdgeApp } from "../../context.ts";
import { registerRunner } from "../../services/runners/register.ts";
import { json, jsonBody, problems } from "../responses.ts";

const route = createRoute({
  method: "post",
  path: "/admin/v1/runners",
  hide: true,
  request: jsonBody(createRunnerSchema),
  responses: {
    201: json(issuedRunnerSchema, "The runner and its token, shown this once"),
    ...problems("unauthenticated", "invalid_request"),
  },
});

export function registerAdminRunners(app: EdgeApp): void {
  app.openapi(route, async (c) => {
    const { id, token } = await registerRunner(c.get("ports"), c.req.valid("json").name);
    return c.json({ runner_id: id, token }, 201, { "cache-control": "no-store" });
  });
}
