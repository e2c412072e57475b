// Every answer that is no success is an RFC 9457 problem document, built from the one table of codes; under /v1/videos
// it says the same in OpenAI's shape.
import type { Context, ErrorHandler, NotFoundHandler } from "hono";
import { HTTPException } from "hono/http-exception";
import type { Problem } from "../../shared/contract/clips.ts";
import { ApiError, ERRORS } from "../../shared/errors.ts";
import type { EdgeEnv } from "../context.ts";
import { describeError, log } from "../platform/log.ts";
import { LimitError } from "../services/clips/refusal.ts";
import { UnsatisfiableRange } from "../services/files/download.ts";
import { SettingsError } from "../settings.ts";
import { MethodNotAllowed } from "./access.ts";
import { InvalidRequest } from "./validation.ts";
import { answerVideoError, isVideoPath } from "./video-error.ts";

/** The framework's words for it. */
const MALFORMED = "Malformed JSON in request body";

function wordsOf({ status, message }: HTTPException): string {
  if (status !== 415) return message === MALFORMED ? "The body is not valid JSON." : message;
  return "The body is of a type that is not taken here; send JSON, with `Content-Type: application/json`.";
}

function asApiError(error: Error): ApiError | null {
  if (error instanceof ApiError) return error;
  // The framework's own: malformed JSON, a content type that the route does not take.
  if (error instanceof HTTPException && error.status < 500) return new ApiError("invalid_request", wordsOf(error));
  return null;
}

function extraHeaders(error: ApiError): Record<string, string> {
  const { status } = ERRORS[error.code];
  if (status === 401) return { "www-authenticate": 'Bearer realm="turboclip"' };
  if (error instanceof LimitError) return { "retry-after": String(error.retryAfterS) };
  if (status === 429 || status === 503 || error.code === "idempotency_in_flight") return { "retry-after": "1" };
  if (error instanceof MethodNotAllowed) return { allow: error.allowed.join(", ") };
  if (error instanceof UnsatisfiableRange) return { "content-range": `bytes */${error.size}` };
  return {};
}

function answer(context: Context<EdgeEnv>, error: ApiError): Response {
  const { status, retryable, title } = ERRORS[error.code];
  if (isVideoPath(context.req.path)) return answerVideoError(context, error, extraHeaders(error));
  const problem: Problem = {
    type: `urn:turboclip:problem:${error.code}`,
    title,
    status,
    detail: error.message,
    code: error.code,
    request_id: context.get("requestId"),
    retryable,
    ...(error.pointer !== undefined && { pointer: error.pointer }),
    ...(error instanceof InvalidRequest && { errors: [...error.mistakes] }),
    ...(error instanceof LimitError && { limit: error.limit }),
  };
  return context.body(JSON.stringify(problem), status, {
    "content-type": "application/problem+json",
    "cache-control": "no-store",
    ...extraHeaders(error),
  });
}

export const answerError: ErrorHandler<EdgeEnv> = (error, context) => {
  const refusal = asApiError(error);
  if (refusal !== null) return answer(context, refusal);
  log("error", "request failed", { request_id: context.get("requestId"), error: describeError(error) });
  // Names of settings are no secret, and whoever is setting the service up needs to read them.
  const detail = error instanceof SettingsError ? error.message : "Something went wrong on our side.";
  return answer(context, new ApiError("internal", detail));
};

export const answerNotFound: NotFoundHandler<EdgeEnv> = (context) =>
  answer(context, new ApiError("not_found", "There is nothing at this address."));
