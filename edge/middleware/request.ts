// Around every request: an id that names it in the answer and the logs, and one line about how it went.
import { createMiddleware } from "hono/factory";
import { routePath } from "hono/route";
import { ulid } from "../../shared/ids.ts";
import type { EdgeEnv } from "../context.ts";
import { log } from "../platform/log.ts";

const ULID_RANDOM_BYTES = 10;

export const identifyRequest = createMiddleware<EdgeEnv>(async (context, next) => {
  const began = Date.now();
  const requestId = `req_${ulid(began, crypto.getRandomValues(new Uint8Array(ULID_RANDOM_BYTES)))}`;
  context.set("requestId", requestId);
  await next();
  context.header("x-request-id", requestId);
  context.header("x-content-type-options", "nosniff");
  log("info", "request", {
    request_id: requestId,
    method: context.req.method,
    // The pattern, not the path: paths hold the tokens of leases and triggers, queries hold signatures.
    route: routePath(context, -1),
    status: context.res.status,
    account: context.get("caller")?.accountId ?? context.get("trigger")?.trigger.accountId,
    runner: context.get("runner")?.id,
    ms: Date.now() - began,
  });
});
