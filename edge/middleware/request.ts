// Around every request: an id that names it in the answer and the logs, and one line about how it went.
import { createMiddleware } from "hono/factory";
import { routePath } from "hono/route";
import { type ClipId, idSchema, ulid } from "../../shared/ids.ts";
import type { EdgeEnv } from "../context.ts";
import { log } from "../platform/log.ts";

const ULID_RANDOM_BYTES = 10;

/** An id is no secret; nothing else of a path is repeated. */
function clipOf(path: string): ClipId | undefined {
  const ids = path.split("/").map((segment) => idSchema("clip").safeParse(segment));
  return ids.find(({ success }) => success)?.data;
}

export const identifyRequest = createMiddleware<EdgeEnv>(async (context, next) => {
  const began = Date.now();
  const requestId = `req_${ulid(began, crypto.getRandomValues(new Uint8Array(ULID_RANDOM_BYTES)))}`;
  context.set("requestId", requestId);
  await next();
  context.header("x-request-id", requestId);
  context.header("x-content-type-options", "nosniff");
  const caller = context.get("caller");
  log("info", "request", {
    request_id: requestId,
    method: context.req.method,
    // The pattern, not the path: paths hold the tokens of leases and triggers, queries hold signatures.
    route: routePath(context, -1),
    status: context.res.status,
    duration_ms: Date.now() - began,
    account: caller?.accountId ?? context.get("trigger")?.trigger.accountId,
    key: caller?.keyId,
    token: caller?.tokenId ?? undefined,
    runner: context.get("runner")?.id,
    clip: clipOf(context.req.path),
    ...context.get("about"),
  });
});
