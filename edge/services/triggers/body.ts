// What a sender posted, as JSON: it comes as JSON or as a form.
import { ApiError } from "../../../shared/errors.ts";
import type { JsonValue } from "./path.ts";

/** GitHub's webhooks of content type `application/x-www-form-urlencoded` have their JSON in this field, and no other. */
const JSON_FIELD = "payload";

/** Throws invalid_request. Of a form, a name that comes once is a string, and one that comes again an array. */
export function readBody(contentType: string | null, text: string): JsonValue {
  const [type = ""] = (contentType ?? "application/json").toLowerCase().split(";");
  if (/^application\/(?:[\w.-]+\+)?json$/.test(type.trim())) return parseJson(text, "The body");
  if (type.trim() === "application/x-www-form-urlencoded") return readForm(new URLSearchParams(text));
  const detail = "Post application/json or application/x-www-form-urlencoded, and say which in Content-Type.";
  throw new ApiError("invalid_request", detail);
}

function parseJson(text: string, what: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    throw new ApiError("invalid_request", `${what} is not JSON.`);
  }
}

function readForm(form: URLSearchParams): JsonValue {
  const json = form.get(JSON_FIELD);
  if (json !== null && form.size === 1) return parseJson(json, `The field ${JSON_FIELD} of the form`);
  const fields = new Map<string, string[]>();
  for (const [name, value] of form) {
    const values = fields.get(name);
    if (values === undefined) fields.set(name, [value]);
    else values.push(value);
  }
  return Object.fromEntries(
    [...fields].map(([name, values]) => [name, values.length === 1 ? (values[0] ?? "") : values]),
  );
}
