// Refuses requests whose headers are larger than any of ours need to be.
import { createMiddleware } from "hono/factory";
import { LIMITS } from "../../shared/contract/clips.ts";
import { ApiError } from "../../shared/errors.ts";
import type { EdgeEnv } from "../context.ts";

/** Throws headers_too_large. Headers are bytes, and workerd gives each as one character. */
export const limitHeaders = createMiddleware<EdgeEnv>(async (context, next) => {
  let size = 0;
  for (const [name, value] of context.req.raw.headers) size += name.length + value.length;
  if (size > LIMITS.headerBytes) {
    const detail = `The headers of a request have at most ${LIMITS.headerBytes} bytes together; these have ${size}.`;
    throw new ApiError("headers_too_large", detail);
  }
  await next();
});
