// The operator's routes for runners: tokens, draining, and the fleet as it is.
import { createRoute } from "@hono/zod-openapi";
import { createRunnerSchema, fleetSchema, issuedRunnerSchema } from "../../../shared/contract/admin.ts";
import type { EdgeApp } from "../../context.ts";
import { drainRunner, resumeRunner } from "../../services/runners/drain.ts";
import { viewFleet } from "../../services/runners/fleet.ts";
import { registerRunner } from "../../services/runners/register.ts";
import { idParam, json, jsonBody, problems } from "../responses.ts";

const fleetRoute = createRoute({
  method: "get",
  path: "/admin/v1/runners",
  hide: true,
  responses: { 200: json(fleetSchema, "All runners"), ...problems("unauthenticated") },
});

const drainRoute = changeRoute("drain", "It gets no more clips");
const resumeRoute = changeRoute("resume", "It gets clips again");

function changeRoute<A extends string>(action: A, description: string) {
  return createRoute({
    method: "post",
    path: `/admin/v1/runners/{id}/${action}`,
    hide: true,
    request: { params: idParam("runner") },
    responses: { 204: { description }, ...problems("unauthenticated", "not_found") },
  });
}

const createRunnerRoute = createRoute({
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
  app.openapi(createRunnerRoute, async (c) => {
    const { id, token } = await registerRunner(c.get("ports"), c.req.valid("json").name);
    return c.json({ runner_id: id, token }, 201, { "cache-control": "no-store" });
  });
  app.openapi(fleetRoute, async (c) => c.json(await viewFleet(c.get("ports")), 200));
  app.openapi(drainRoute, async (c) => {
    await drainRunner(c.get("ports"), c.req.valid("param").id);
    return c.body(null, 204);
  });
  app.openapi(resumeRoute, async (c) => {
    await resumeRunner(c.get("ports"), c.req.valid("param").id);
    return c.body(null, 204);
  });
}
