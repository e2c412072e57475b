// Cross-origin requests (https://fetch.spec.whatwg.org/#http-cors-protocol): by browser tokens only, from their own
// origins only. An API key never gets a header that would let a page read the answer: it has no business in a page.
import { createMiddleware } from "hono/factory";
import { ApiError } from "../../shared/errors.ts";
import type { EdgeEnv } from "../context.ts";
import { browserMethods } from "./access.ts";

const REQUEST_HEADERS = "authorization, content-type, idempotency-key, last-event-id, prefer, turboclip-version";
const ANSWER_HEADERS =
  "idempotent-replayed, location, preference-applied, ratelimit, ratelimit-policy, retry-after, turboclip-version, x-request-id";
const PREFLIGHT_KEPT_S = 600;

/**
 * A preflight carries no token, so it is answered for any origin: it tells what is public anyhow. Whether the origin may
 * read an answer is decided with the token, below.
 */
export const answerPreflight = createMiddleware<EdgeEnv>(async (context, next) => {
  const { req } = context;
  const origin = req.header("origin");
  const methods = browserMethods(req.path);
  const isPreflight = req.method === "OPTIONS" && req.header("access-control-request-method") !== undefined;
  if (!isPreflight || origin === undefined || methods.length === 0) return await next();
  return context.body(null, 204, {
    "access-control-allow-origin": origin,
    "access-control-allow-methods": methods.join(", "),
    "access-control-allow-headers": REQUEST_HEADERS,
    "access-control-max-age": String(PREFLIGHT_KEPT_S),
    vary: "origin",
  });
});

/** Throws origin_not_allowed for a browser token anywhere but on a page of its origins. */
export const allowOrigin = createMiddleware<EdgeEnv>(async (context, next) => {
  const { token } = context.get("caller");
  if (token !== null) {
    const origin = context.req.header("origin");
    if (origin === undefined || !token.origins.includes(origin)) {
      const detail = "The browser token was made for pages of other origins; make one that names this origin.";
      throw new ApiError("origin_not_allowed", detail);
    }
    context.header("access-control-allow-origin", origin);
    context.header("access-control-expose-headers", ANSWER_HEADERS);
    context.header("vary", "origin");
  }
  await next();
});
