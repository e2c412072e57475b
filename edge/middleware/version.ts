// The dated version of the API: a request may name one, and every answer says which one it is by.
import { createMiddleware } from "hono/factory";
import { API_VERSIONS, type ApiVersion, VERSION_HEADER } from "../../shared/contract/version.ts";
import { ApiError } from "../../shared/errors.ts";
import type { EdgeEnv } from "../context.ts";

const OLDEST: ApiVersion = API_VERSIONS[API_VERSIONS.length - 1] ?? API_VERSIONS[0];

/** Throws api_version_unknown. */
export const negotiateVersion = createMiddleware<EdgeEnv>(async (context, next) => {
  const wanted = context.req.header(VERSION_HEADER);
  const version = wanted === undefined ? OLDEST : API_VERSIONS.find((known) => known === wanted);
  // A refusal is told in the oldest version, which everybody reads.
  context.header(VERSION_HEADER, version ?? OLDEST);
  if (version === undefined) {
    const known = API_VERSIONS.join(", ");
    throw new ApiError("api_version_unknown", `Turboclip-Version must be one of ${known}, or be left out.`);
  }
  await next();
});
