// Shorthands for what routes declare in the OpenAPI document.
import type * as z from "zod";
import * as zod from "zod";
import { LIMITS, problemSchema } from "../../shared/contract/clips.ts";
import { videoErrorSchema } from "../../shared/contract/videos.ts";
import { ApiError, ERRORS, type ErrorCode } from "../../shared/errors.ts";
import { ID_PREFIXES, type IdKind, idSchema } from "../../shared/ids.ts";

export function json<S extends z.ZodType>(schema: S, description: string) {
  return { description, content: { "application/json": { schema } } };
}

export function jsonBody<S extends z.ZodType>(schema: S) {
  return { body: { required: true, content: { "application/json": { schema } } } };
}

const PROBLEM = { "application/problem+json": { schema: problemSchema } } as const;
const VIDEO_ERROR = { "application/json": { schema: videoErrorSchema } } as const;

interface Refused<C> {
  readonly description: string;
  readonly content: C;
}

function refusals<C>(codes: readonly ErrorCode[], content: C): Record<string, Refused<C>> {
  const byStatus = new Map<string, ErrorCode[]>();
  for (const code of [...codes, "internal"] as const) {
    const status = String(ERRORS[code].status);
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, of]) => [status, { description: of.join(", "), content }] as const),
  );
}

/** One response for each status that these codes have; `internal` is always among them. */
export function problems(...codes: readonly ErrorCode[]): Record<string, Refused<typeof PROBLEM>> {
  return refusals(codes, PROBLEM);
}

/** The same under /v1/videos, in OpenAI's shape. */
export function videoErrors(...codes: readonly ErrorCode[]): Record<string, Refused<typeof VIDEO_ERROR>> {
  return refusals(codes, VIDEO_ERROR);
}

export function idParam<K extends IdKind>(kind: K) {
  const example = `${ID_PREFIXES[kind]}_01j9z3k4m5n6p7q8r9s0t1v2w3`;
  return zod.object({ id: idSchema(kind).meta({ param: { name: "id", in: "path" }, example }) });
}

export const idempotencyKey = zod
  .string()
  .regex(/^[\x21-\x7e]+$/, "must be visible ASCII characters")
  .max(LIMITS.idempotencyKeyCharacters)
  .optional()
  .meta({
    description:
      "Makes the request safe to repeat: for 24 hours the same key with the same body gets the first answer again",
  });

/** For routes that move money by hand: none of them without a key. */
export function requireKey(key: string | undefined): string {
  if (key !== undefined) return key;
  throw new ApiError("invalid_request", "What moves money needs an Idempotency-Key, so that it is never done twice.");
}

/** What a video of the names that OpenAI's clients know may be refused by: its length is fixed, and it has no picture. */
const VIDEO_REQUEST_REFUSALS = [
  "invalid_request",
  "prompt_empty",
  "prompt_too_long",
  "model_unknown",
  "size_not_allowed",
] as const satisfies readonly ErrorCode[];

/** What a request for clips may be refused by, ordered or estimated. */
export const REQUEST_REFUSALS = [...VIDEO_REQUEST_REFUSALS, "frames_invalid", "input_not_allowed"] as const;

const PAYMENT_REFUSALS = [
  "insufficient_balance",
  "cap_exceeded",
  "too_many_in_flight",
  "clip_deleted",
  "idempotency_in_flight",
  "idempotency_mismatch",
] as const satisfies readonly ErrorCode[];

/** What an order of clips may be refused by; only these may be sent with a browser token. */
export const ORDER_REFUSALS = [...REQUEST_REFUSALS, ...PAYMENT_REFUSALS, "token_spent"] as const;
/** A trigger's orders have no picture, and are not sent with a token. */
export const TRIGGER_ORDER_REFUSALS = [...VIDEO_REQUEST_REFUSALS, "frames_invalid", ...PAYMENT_REFUSALS] as const;
export const VIDEO_ORDER_REFUSALS = [...VIDEO_REQUEST_REFUSALS, ...PAYMENT_REFUSALS] as const;

/** Routes that a customer's key opens. */
export const BEARER = [{ apiKey: [] }];

/** Of answers that hold secrets, or that are another the next time. */
export const NO_STORE = { "cache-control": "no-store" } as const;
