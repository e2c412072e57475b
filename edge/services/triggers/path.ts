// The singular queries of JSONPath (RFC 9535, section 2.3.5.1): `$`, then members by `.name` or `['name']` and elements by
// `[0]` or, from the end, `[-1]`. Such a query finds one value or none, which is what a placeholder needs; wildcards, slices,
// filters and descendants are refused (decision 0095).
import { TRIGGER_LIMITS } from "../../../shared/contract/triggers.ts";

export interface JsonPath {
  /** As it was written, for messages. */
  readonly text: string;
  readonly segments: readonly (string | number)[];
}

export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue };

/** A path that is none, and where in its text it ceases to be one. */
export class PathError extends Error {
  readonly at: number;

  constructor(message: string, at: number) {
    super(message);
    this.at = at;
  }
}

const BLANKS = /[ \t\n\r]*/y;
const SHORTHAND = /\.([A-Za-z_\u0080-\ud7ff\ue000-\u{10ffff}][0-9A-Za-z_\u0080-\ud7ff\ue000-\u{10ffff}]*)/uy;
const INDEX = /\[(0|-?[1-9][0-9]*)\]/y;
const QUOTED = /\[('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\]/uy;

/** From single quotes to double ones; what may not be escaped between single quotes may not in JSON, once exchanged. */
const REQUOTED: Readonly<Record<string, string>> = { "\\'": "'", '"': '\\"', '\\"': "\\'" };

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

/** The path that begins at `from`, as far as it goes, and where it ends. Throws PathError. */
export function readPath(text: string, from: number): { readonly path: JsonPath; readonly end: number } {
  if (text[from] !== "$") throw new PathError("a JSON path begins with $", from);
  const segments: (string | number)[] = [];
  let end = from + 1;
  for (;;) {
    // Blanks belong to the path only where another segment follows them.
    const at = end + (matchAt(BLANKS, text, end)?.[0].length ?? 0);
    if (text[at] !== "." && text[at] !== "[") break;
    const segment = readSegment(text, at);
    segments.push(segment.value);
    end = segment.end;
    if (segments.length > TRIGGER_LIMITS.pathSegments) {
      throw new PathError(`a JSON path has at most ${TRIGGER_LIMITS.pathSegments} segments here`, at);
    }
  }
  return { path: { text: text.slice(from, end), segments }, end };
}

/** A text that is a path and nothing else. Throws PathError. */
export function parsePath(text: string): JsonPath {
  const { path, end } = readPath(text, 0);
  if (end !== text.length)
    throw new PathError(`it ends with ${JSON.stringify(text.slice(end))}, which is no path`, end);
  return path;
}

function readSegment(text: string, at: number): { readonly value: string | number; readonly end: number } {
  const shorthand = matchAt(SHORTHAND, text, at);
  if (shorthand?.[1] !== undefined) return { value: shorthand[1], end: at + shorthand[0].length };
  const index = matchAt(INDEX, text, at);
  if (index?.[1] !== undefined && Number.isSafeInteger(Number(index[1]))) {
    return { value: Number(index[1]), end: at + index[0].length };
  }
  const quoted = matchAt(QUOTED, text, at);
  const name = quoted?.[1] === undefined ? null : unquote(quoted[1]);
  if (quoted !== null && name !== null) return { value: name, end: at + quoted[0].length };
  throw new PathError("a path goes on with .name, ['name'] or [0]; no other part of JSONPath is taken", at);
}

/** A string literal of JSONPath is one of JSON, but for the kind of quotes. Null for a bad escape or half a surrogate pair. */
function unquote(literal: string): string | null {
  const inner = literal.slice(1, -1);
  const double = literal.startsWith('"') ? inner : inner.replaceAll(/\\.|"/gsu, (part) => REQUOTED[part] ?? part);
  try {
    const name = JSON.parse(`"${double}"`) as string;
    return name.isWellFormed() ? name : null;
  } catch {
    return null;
  }
}

/** The one value that the path leads to, or undefined. Members are those of the JSON text, nothing inherited. */
export function findValue(root: JsonValue, { segments }: JsonPath): JsonValue | undefined {
  let value: JsonValue | undefined = root;
  for (const segment of segments) {
    if (typeof value !== "object" || value === null) return undefined;
    if (Array.isArray(value)) {
      value = typeof segment === "number" ? (value as readonly JsonValue[]).at(segment) : undefined;
    } else {
      value = typeof segment === "string" && Object.hasOwn(value, segment) ? memberOf(value, segment) : undefined;
    }
  }
  return value;
}

function memberOf(value: JsonValue, name: string): JsonValue | undefined {
  return (value as { readonly [name: string]: JsonValue })[name];
}
