// A request that does not fit its schema: which member is wrong, as a JSON Pointer, and why.
import type { Context } from "hono";
import type * as z from "zod";
import { ApiError } from "../../shared/errors.ts";

type Outcome = { readonly target: string } & (
  | { readonly success: true }
  | { readonly success: false; readonly error: z.core.$ZodError }
);

/** RFC 6901. */
function pointerTo(path: readonly PropertyKey[]): string {
  return path.map((part) => `/${String(part).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

/** The default hook of every route. An id in the path that is none answers like one that is absent. */
export function refuseInvalid(outcome: Outcome, _context: Context): void {
  if (outcome.success) return;
  if (outcome.target === "param") throw new ApiError("not_found", "There is nothing at this address.");
  const [issue] = outcome.error.issues;
  if (issue === undefined) throw new ApiError("invalid_request", "The request is not valid.");
  const path = issue.code === "unrecognized_keys" ? [...issue.path, ...issue.keys.slice(0, 1)] : issue.path;
  const pointer = pointerTo(path);
  if (outcome.target === "json" || outcome.target === "form") {
    const subject = pointer === "" ? "The body" : pointer;
    throw new ApiError("invalid_request", `${subject}: ${issue.message}`, pointer);
  }
  throw new ApiError("invalid_request", `${outcome.target} ${path.map(String).join(".")}: ${issue.message}`);
}
