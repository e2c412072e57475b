// A request that does not fit its schema: all that is wrong with it, each named as JSON:API names the source of an error
// (https://jsonapi.org/format/#error-objects): a member by its JSON Pointer, a query parameter or a header by its name.
import type { Context } from "hono";
import type * as z from "zod";
import type { Problem } from "../../shared/contract/clips.ts";
import { ApiError } from "../../shared/errors.ts";

type Outcome = { readonly target: string } & (
  | { readonly success: true }
  | { readonly success: false; readonly error: z.core.$ZodError }
);

export type Mistake = NonNullable<Problem["errors"]>[number];

/** More than anybody mends at once. */
const TOLD = 20;

/** Its detail is the first mistake. */
export class InvalidRequest extends ApiError {
  readonly mistakes: readonly Mistake[];

  constructor(detail: string, mistakes: readonly Mistake[]) {
    super("invalid_request", detail, mistakes[0]?.pointer);
    this.mistakes = mistakes;
  }
}

/** RFC 6901. */
function pointerTo(path: readonly PropertyKey[]): string {
  return path.map((part) => `/${String(part).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

/** An unknown member is wrong itself, not what it is in. */
function pathsOf(issue: z.core.$ZodIssue): readonly PropertyKey[][] {
  if (issue.code !== "unrecognized_keys") return [issue.path];
  return issue.keys.map((key) => [...issue.path, key]);
}

function sourceOf(target: string, path: readonly PropertyKey[]): Omit<Mistake, "detail"> {
  if (target === "query") return { parameter: path.map(String).join(".") };
  if (target === "header") return { header: path.map(String).join(".") };
  return { pointer: pointerTo(path) };
}

function subjectOf({ pointer, parameter, header }: Mistake): string {
  if (parameter !== undefined) return `query ${parameter}`;
  if (header !== undefined) return `header ${header}`;
  return pointer || "The body";
}

/** The default hook of every route. An id in the path that is none answers like one that is absent. */
export function refuseInvalid(outcome: Outcome, _context: Context): void {
  if (outcome.success) return;
  if (outcome.target === "param") throw new ApiError("not_found", "There is nothing at this address.");
  const mistakes = outcome.error.issues
    .flatMap((issue) => pathsOf(issue).map((path) => ({ ...sourceOf(outcome.target, path), detail: issue.message })))
    .slice(0, TOLD);
  const [first] = mistakes;
  if (first === undefined) throw new ApiError("invalid_request", "The request is not valid.");
  throw new InvalidRequest(`${subjectOf(first)}: ${first.detail}`, mistakes);
}
