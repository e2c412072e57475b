// A runner reports that its attempt failed, and whether another one could do better.
import type { AttemptEndReply, FailRequest } from "../../../shared/contract/runner.ts";
import { ERRORS } from "../../../shared/errors.ts";
import { type AttemptRef, endedAs, findAttempt, leaseLost } from "./attempt.ts";
import { type EndSource, endAttempt } from "./end-attempt.ts";

/** Our own codes reach the customer; what only the engine knows by name is an `engine_failed`. */
function publicCode(code: string): string {
  return Object.hasOwn(ERRORS, code) ? code : "engine_failed";
}

export async function failAttempt(ports: EndSource, ref: AttemptRef, failure: FailRequest): Promise<AttemptEndReply> {
  const row = await findAttempt(ports, ref);
  if (endedAs(row, "failed")) return { state: "failed" };
  const state = await endAttempt(ports, row, {
    event: "attempt_failed",
    detail: `${failure.code}: ${failure.message}`,
    error: { code: publicCode(failure.code), message: failure.message },
    retryable: failure.retryable,
    unharmed: false,
    overdueAtMs: null,
  });
  if (state !== null) return { state };
  if (endedAs(await findAttempt(ports, ref), "failed")) return { state: "failed" };
  throw leaseLost();
}
