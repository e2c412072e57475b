// The one table of error codes: HTTP status, whether the same request may succeed later, and a title.
// The public API answers with RFC 9457 problem details built from it.

export const ERRORS = {
  unauthenticated: { status: 401, retryable: false, title: "No valid API key" },
  key_revoked: { status: 401, retryable: false, title: "API key revoked" },
  key_expired: { status: 401, retryable: false, title: "API key expired" },
  scope_missing: { status: 403, retryable: false, title: "API key lacks the scope" },
  exceeds_own_key: { status: 403, retryable: false, title: "More than the calling API key has" },
  origin_not_allowed: { status: 403, retryable: false, title: "Browser token used from another origin" },
  token_spent: { status: 403, retryable: false, title: "Browser token has ordered all its clips" },
  not_found: { status: 404, retryable: false, title: "Not found" },
  method_not_allowed: { status: 405, retryable: false, title: "Method not allowed" },
  invalid_request: { status: 400, retryable: false, title: "Invalid request" },
  api_version_unknown: { status: 400, retryable: false, title: "Unknown API version" },
  prompt_empty: { status: 400, retryable: false, title: "Prompt is empty" },
  prompt_too_long: { status: 400, retryable: false, title: "Prompt is too long" },
  model_unknown: { status: 400, retryable: false, title: "Unknown model" },
  size_not_allowed: { status: 400, retryable: false, title: "Size not allowed for the model" },
  input_not_allowed: { status: 400, retryable: false, title: "Model takes no picture" },
  frames_invalid: { status: 400, retryable: false, title: "Invalid number of frames" },
  body_too_large: { status: 413, retryable: false, title: "Request body too large" },
  headers_too_large: { status: 431, retryable: false, title: "Request headers too large" },
  insufficient_balance: { status: 402, retryable: false, title: "Insufficient balance" },
  cap_exceeded: { status: 402, retryable: true, title: "Spending cap exceeded" },
  too_many_in_flight: { status: 429, retryable: true, title: "Too many clips in flight" },
  rate_limited: { status: 429, retryable: true, title: "Rate limit exceeded" },
  idempotency_in_flight: { status: 409, retryable: true, title: "Same Idempotency-Key in flight" },
  idempotency_mismatch: { status: 422, retryable: false, title: "Idempotency-Key reused with another body" },
  moderation_unavailable: { status: 503, retryable: true, title: "Moderation gives no verdict" },
  moderated: { status: 422, retryable: false, title: "Refused by moderation" },
  not_cancellable: { status: 409, retryable: false, title: "Clip can no longer be cancelled" },
  not_deletable: { status: 409, retryable: false, title: "Clip has not ended" },
  clip_deleted: { status: 410, retryable: false, title: "Clip deleted" },
  key_not_active: { status: 409, retryable: false, title: "API key is revoked or has expired" },
  too_many_keys: { status: 409, retryable: false, title: "Too many active API keys" },
  too_many_links: { status: 409, retryable: false, title: "Too many chat links" },
  not_refundable: { status: 409, retryable: false, title: "Clip cannot be refunded that much" },
  upload_missing: { status: 409, retryable: true, title: "Upload not found" },
  upload_rejected: { status: 422, retryable: false, title: "Upload differs from what was declared" },
  range_not_satisfiable: { status: 416, retryable: false, title: "Range not satisfiable" },
  version_unsupported: { status: 409, retryable: false, title: "Runner and edge are too many versions apart" },
  lease_lost: { status: 409, retryable: false, title: "Lease lost" },
  engine_failed: { status: 500, retryable: true, title: "Engine failed" },
  payment_unavailable: { status: 503, retryable: true, title: "Payment service unavailable" },
  no_capacity: { status: 503, retryable: true, title: "No capacity" },
  expired: { status: 410, retryable: false, title: "Expired" },
  internal: { status: 500, retryable: true, title: "Internal error" },
} as const satisfies Record<string, { status: number; retryable: boolean; title: string }>;

export type ErrorCode = keyof typeof ERRORS;

/** A refusal that is part of the contract; everything else that is thrown becomes `internal`. */
export class ApiError extends Error {
  readonly code: ErrorCode;
  /** JSON Pointer (RFC 6901) to the offending member of the request, if one is to blame. */
  readonly pointer: string | undefined;

  constructor(code: ErrorCode, detail: string, pointer?: string) {
    super(detail);
    this.name = "ApiError";
    this.code = code;
    this.pointer = pointer;
  }
}
