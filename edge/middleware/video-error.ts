// Refusals under /v1/videos in OpenAI's shape, which its clients know how to read. `code` is that of our table.
import type { Context } from "hono";
import type { VideoError } from "../../shared/contract/videos.ts";
import { type ApiError, ERRORS } from "../../shared/errors.ts";
import type { EdgeEnv } from "../context.ts";

const ROOT = "/v1/videos";

export function isVideoPath(path: string): boolean {
  return path === ROOT || path.startsWith(`${ROOT}/`);
}

function typeOf(status: number): VideoError["error"]["type"] {
  if (status >= 500) return "server_error";
  switch (status) {
    case 401:
      return "authentication_error";
    case 402:
      return "insufficient_quota";
    case 403:
      return "permission_error";
    case 429:
      return "rate_limit_error";
    default:
      return "invalid_request_error";
  }
}

export function answerVideoError(
  context: Context<EdgeEnv>,
  { code, message, pointer }: ApiError,
  headers: Readonly<Record<string, string>>,
): Response {
  const { status, retryable } = ERRORS[code];
  const param = pointer === undefined || pointer === "" ? null : pointer.slice(1);
  const body: VideoError = { error: { message, type: typeOf(status), param, code } };
  return context.body(JSON.stringify(body), status, {
    "content-type": "application/json",
    "cache-control": "no-store",
    // OpenAI's clients send every 409, 429 and 5xx again unless they are told not to.
    ...(!retryable && { "x-should-retry": "false" }),
    ...headers,
  });
}
