// Text with placeholders: `{{ $.release.name }}` is the value of a JSON path in the body of a delivery, and
// `{{ $.release.name | "a release" }}` has a fallback for when there is none. `{{ "{{" }}` is the text in the quotes.
import { LIMITS } from "../../../shared/contract/clips.ts";
import { TRIGGER_LIMITS } from "../../../shared/contract/triggers.ts";
import { ApiError } from "../../../shared/errors.ts";
import { findValue, type JsonPath, type JsonValue, PathError, readPath } from "./path.ts";

type Part = { readonly text: string } | { readonly path: JsonPath; readonly fallback: string | null };
export type Template = readonly Part[];

const OPEN = "{{";
const CLOSE = "}}";
const BLANKS = /\s*/y;
const STRING = /"(?:[^"\\]|\\.)*"/y;

/** Where in a template something is wrong, and what. */
class TemplateError extends Error {}

/** Throws invalid_request, at `pointer`, that says where the template is wrong. */
export function parseTemplate(source: string, pointer: string): Template {
  try {
    return readParts(source);
  } catch (error) {
    if (error instanceof PathError) throw invalid(`${error.message} (character ${error.at + 1})`, pointer);
    if (error instanceof TemplateError) throw invalid(error.message, pointer);
    throw error;
  }
}

function invalid(detail: string, pointer: string): ApiError {
  return new ApiError("invalid_request", `${pointer}: ${detail}`, pointer);
}

function readParts(source: string): Template {
  const parts: Part[] = [];
  let at = 0;
  for (let open = source.indexOf(OPEN); open !== -1; open = source.indexOf(OPEN, at)) {
    if (open > at) parts.push({ text: source.slice(at, open) });
    const { part, end } = readPlaceholder(source, open);
    parts.push(part);
    at = end;
  }
  if (at < source.length) parts.push({ text: source.slice(at) });
  const placeholders = parts.filter((part) => "path" in part).length;
  if (placeholders > TRIGGER_LIMITS.placeholders) {
    throw new TemplateError(`a template has at most ${TRIGGER_LIMITS.placeholders} placeholders, not ${placeholders}`);
  }
  return parts;
}

function readPlaceholder(source: string, open: number): { readonly part: Part; readonly end: number } {
  const literal = readString(source, skip(source, open + OPEN.length));
  if (literal !== null) return { part: { text: literal.value }, end: close(source, literal.end, open) };
  const { path, end } = readPath(source, skip(source, open + OPEN.length));
  const bar = skip(source, end);
  if (source[bar] !== "|") return { part: { path, fallback: null }, end: close(source, end, open) };
  const fallback = readString(source, skip(source, bar + 1));
  if (fallback === null) {
    throw new TemplateError(`after | comes a fallback in double quotes (character ${bar + 1})`);
  }
  return { part: { path, fallback: fallback.value }, end: close(source, fallback.end, open) };
}

function skip(source: string, at: number): number {
  BLANKS.lastIndex = at;
  return at + (BLANKS.exec(source)?.[0].length ?? 0);
}

/** Where the placeholder ends. */
function close(source: string, at: number, open: number): number {
  const end = skip(source, at);
  if (source.startsWith(CLOSE, end)) return end + CLOSE.length;
  throw new TemplateError(`the placeholder that begins at character ${open + 1} does not end with }}`);
}

/** A JSON string, or null where none begins. */
function readString(source: string, at: number): { readonly value: string; readonly end: number } | null {
  STRING.lastIndex = at;
  const literal = STRING.exec(source)?.[0];
  if (literal === undefined) return null;
  try {
    return { value: JSON.parse(literal) as string, end: at + literal.length };
  } catch {
    throw new TemplateError(`the text in quotes at character ${at + 1} is no JSON string`);
  }
}

/** Throws invalid_request, which names the path that has no value, or one that is no text, number or boolean. */
export function render(template: Template, body: JsonValue): string {
  return template.map((part) => ("text" in part ? part.text : textOf(part.path, part.fallback, body))).join("");
}

/** Null is like absent: senders write it for what they have not. */
function textOf(path: JsonPath, fallback: string | null, body: JsonValue): string {
  const value = findValue(body, path) ?? fallback;
  if (value === null) {
    throw new ApiError(
      "invalid_request",
      `The body has nothing at ${path.text}, and the template has no fallback for it.`,
    );
  }
  if (typeof value === "object") {
    const kind = Array.isArray(value) ? "an array" : "an object";
    const detail = `At ${path.text} the body has ${kind}; a placeholder takes a string, a number or a boolean.`;
    throw new ApiError("invalid_request", detail);
  }
  const text = String(value);
  if (text.length > LIMITS.promptCharacters) {
    const detail = `The text at ${path.text} has ${text.length} characters, more than a prompt's ${LIMITS.promptCharacters}.`;
    throw new ApiError("invalid_request", detail);
  }
  return text;
}
