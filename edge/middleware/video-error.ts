// Refusals under /v1/videos in OpenAI's shape, which its clients know how to read. `code` is that of our table.
import type { Context } from "hono";
import type { VideoError } from "../../shared/contract/videos.ts";
import { type ApiError, ERRORS } from "../../shared/errors.ts";
import type { EdgeEnv } from "../context.ts";
import { InvalidRequest } from "./validation.ts";

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

/** Which of what was sent is to blame: OpenAI names a field, a query parameter and a header alike. */
function paramOf(error: ApiError): string | null {
  const [mistake] = error instanceof InvalidRequest ? error.mistakes : [];
  return mistake?.parameter ?? mistake?.header ?? (error.pointer?.slice(1) || null);
}

export function answerVideoError(
  context: Context<EdgeEnv>,
  error: ApiError,
  headers: Readonly<Record<string, string>>,
): Response {
  const { code, message } = error;
  const { status, retryable } = ERRORS[code];
  const param = paramOf(error);
  const body: VideoError = { error: { message, type: typeOf(status), param, code } };
  return context.body(JSON.stringify(body), status, {
    "content-type": "application/json",
    "cache-control": "no-store",
    // OpenAI's clients send every 409, 429 and 5xx again unless they are told not to.
    ...(!retryable && { "x-should-retry": "false" }),
    ...headers,
  });
}
