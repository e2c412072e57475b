// What a client throws: refusals of the API with the members of its problem document, and failures to talk
// to it at all.
import { type Problem, problemSchema } from "../shared/contract/clips.ts";
import type { ErrorCode } from "../shared/errors.ts";

/** `unreachable`: no answer arrived. `unexpected_answer`: one arrived that the contract does not know. */
export type ClientErrorCode = ErrorCode | "unreachable" | "unexpected_answer";

export interface TurboclipErrorOptions {
  readonly code: ClientErrorCode;
  readonly message: string;
  readonly retryable: boolean;
  readonly status?: number;
  readonly problem?: Problem;
  /** Seconds, from Retry-After. */
  readonly retryAfter?: number;
  readonly cause?: unknown;
}

export class TurboclipError extends Error {
  readonly code: ClientErrorCode;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;
  /** HTTP status, if there was an answer. */
  readonly status: number | undefined;
  /** The API's RFC 9457 problem document: title, detail, request_id, pointer. */
  readonly problem: Problem | undefined;
  readonly retryAfter: number | undefined;

  constructor(options: TurboclipErrorOptions) {
    super(options.message, { cause: options.cause });
    this.name = "TurboclipError";
    this.code = options.code;
    this.retryable = options.retryable;
    this.status = options.status;
    this.problem = options.problem;
    this.retryAfter = options.retryAfter;
  }
}

/** The error that an answer other than 2xx stands for. */
export function errorFromAnswer(status: number, body: string, retryAfterHeader: string | null): TurboclipError {
  const retryAfter = Number(retryAfterHeader ?? Number.NaN);
  const wait = Number.isFinite(retryAfter) && retryAfter >= 0 ? { retryAfter } : {};
  const parsed = problemSchema.safeParse(jsonOrUndefined(body));
  if (!parsed.success) {
    return new TurboclipError({
      code: "unexpected_answer",
      message: `the API answered ${status} without a problem document: ${body.slice(0, 200)}`,
      retryable: status >= 500 || status === 429,
      status,
      ...wait,
    });
  }
  const { code, detail, title, retryable } = parsed.data;
  return new TurboclipError({
    code,
    message: detail || title,
    retryable,
    status,
    problem: parsed.data,
    ...wait,
  });
}

export function unreachable(what: string, cause: unknown): TurboclipError {
  return new TurboclipError({
    code: "unreachable",
    message: `${what}: no answer (${reasonOf(cause)})`,
    retryable: true,
    cause,
  });
}

/** fetch hides the reason one level down. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}

export function jsonOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // the schemas say what is missing
  }
}
