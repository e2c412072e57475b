import { createRoute } from "@hono/zod-openapi";
import { claimSchema, DRAIN_HEADER, pollRequestSchema } from "../../../shared/contract/runner.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { EdgeApp } from "../../context.ts";
import { theDispatcher } from "../../platform/objects.ts";
import { admitRunner } from "../../services/runners/admit.ts";
import { json, jsonBody, problems } from "../responses.ts";

const route = createRoute({
  method: "post",
  path: "/runner/v1/poll",
  hide: true,
  request: jsonBody(pollRequestSchema),
  responses: {
    200: json(claimSchema, "A claim, to be acknowledged by a heartbeat"),
    204: { description: "No clip within the wait, or, with its header, none for a drained runner" },
    ...problems("unauthenticated", "invalid_request", "version_unsupported"),
  },
});

export function registerPoll(app: EdgeApp): void {
  app.openapi(route, async (c) => {
    const poll = c.req.valid("json");
    const { id: runnerId, drained } = c.get("runner");
    if (poll.runner_id !== runnerId) {
      throw new ApiError("invalid_request", "The token is not this runner's.", "/runner_id");
    }
    await admitRunner(c.get("ports"), runnerId, poll);
    // Not even parked: a ring that woke it would be lost to the others.
    if (drained) return c.body(null, 204, { [DRAIN_HEADER]: "1" });
    const claim = await theDispatcher(c.env.DISPATCHER).poll(runnerId, poll);
    if (claim !== null) c.set("about", { clip: claim.clip_id, attempt: claim.attempt });
    return claim === null ? c.body(null, 204) : c.json(claim, 200);
  });
}
