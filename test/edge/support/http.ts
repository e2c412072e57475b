// Requests to the Worker as it is deployed, through its own fetch handler.
import { exports } from "cloudflare:workers";
import { expect } from "vitest";
import { problemSchema } from "../../../shared/contract/clips.ts";
import { videoErrorSchema } from "../../../shared/contract/videos.ts";
import { ERRORS, type ErrorCode } from "../../../shared/errors.ts";

export const ORIGIN = "https://clips.test";

export interface Call {
  readonly token?: string;
  /** Sent as JSON, or as it is if it is a string or bytes. */
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
}

export async function call(method: string, path: string, options: Call = {}): Promise<Response> {
  const headers = new Headers(options.headers);
  if (options.token !== undefined) headers.set("authorization", `Bearer ${options.token}`);
  const { body } = options;
  const raw = body === undefined || typeof body === "string" || body instanceof Uint8Array;
  if (body !== undefined && !headers.has("content-type")) headers.set("content-type", "application/json");
  const url = path.startsWith("http") ? path : `${ORIGIN}${path}`;
  const init = {
    method,
    headers,
    ...(body !== undefined && { body: raw ? (body as BodyInit) : JSON.stringify(body) }),
  };
  return await exports.default.fetch(new Request(url, init));
}

/** The answer is this problem and nothing else: status, code, title, request id, JSON Pointer. */
export async function expectProblem(answer: Response, code: ErrorCode, pointer?: string): Promise<string> {
  const problem = problemSchema.strict().parse(await answer.json());
  expect(problem).toMatchObject({ code, status: ERRORS[code].status, title: ERRORS[code].title });
  expect(answer.status).toBe(ERRORS[code].status);
  expect(problem.retryable).toBe(ERRORS[code].retryable);
  expect(problem.pointer).toBe(pointer);
  expect(answer.headers.get("content-type")).toBe("application/problem+json");
  expect(answer.headers.get("x-request-id")).toBe(problem.request_id);
  return problem.detail;
}

/** The answer is OpenAI's error body with our code, and nothing else. */
export async function expectVideoError(
  answer: Response,
  code: ErrorCode,
  param: string | null = null,
): Promise<string> {
  expect(answer.headers.get("content-type")).toBe("application/json");
  const { error } = videoErrorSchema.strict().parse(await answer.json());
  expect([answer.status, error.code, error.param]).toEqual([ERRORS[code].status, code, param]);
  expect(answer.headers.get("x-should-retry")).toBe(ERRORS[code].retryable ? null : "false");
  expect(answer.headers.get("x-request-id")).toMatch(/^req_/);
  return error.message;
}
