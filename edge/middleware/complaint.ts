// What is wrong with a value, in words that name the value and what would be right: zod's messages where a schema has
// none of its own. Only numbers and choices are repeated: texts may be long, or secret.
import type * as z from "zod";

const SHOWN_CHARACTERS = 40;

const KINDS: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  tuple: "a list",
  object: "an object",
  record: "an object",
};

const FORMATS: Readonly<Record<string, string>> = {
  datetime: "must be a time in UTC like 2026-11-23T12:00:00Z",
  date: "must be a day like 2026-11-23",
  url: "must be a URL",
};

function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return KINDS[Array.isArray(value) ? "array" : typeof value] ?? typeof value;
}

/** "a", "a or b", "a, b or c". */
function anyOf(values: readonly unknown[]): string {
  const shown = values.map((value) => JSON.stringify(value));
  return [shown.slice(0, -1).join(", "), ...shown.slice(-1)].filter((part) => part !== "").join(" or ");
}

function shownChoice(value: unknown): string {
  if (typeof value === "string") return value.length <= SHOWN_CHARACTERS ? `, not ${JSON.stringify(value)}` : "";
  return `, not ${kindOf(value)}`;
}

function sizeOf(value: unknown): number {
  if (typeof value === "string" || Array.isArray(value)) return value.length;
  return Number(value);
}

function bound(limit: "most" | "least", issue: z.core.$ZodRawIssue<z.core.$ZodIssueTooBig | z.core.$ZodIssueTooSmall>) {
  const value = String(issue.code === "too_big" ? issue.maximum : issue.minimum);
  const size = sizeOf(issue.input);
  if (issue.origin === "string") return `must have at ${limit} ${value} characters, not ${size}`;
  if (issue.origin === "array") return `must have at ${limit} ${value} entries, not ${size}`;
  return `must be at ${limit} ${value}, not ${size}`;
}

function unknown(names: readonly string[], known: readonly string[]): string {
  const shown = names.map((name) => (name.length <= SHOWN_CHARACTERS ? JSON.stringify(name) : "a longer name"));
  return `${shown.join(", ")} ${names.length === 1 ? "is" : "are"} not known here; there are ${known.join(", ")}`;
}

const first = (issues: readonly { readonly message: string }[] | undefined) => issues?.[0]?.message ?? "is not valid";

function namesOf(schema: unknown): readonly string[] {
  const { shape } = (schema as { _zod?: { def?: { shape?: object } } } | undefined)?._zod?.def ?? {};
  return Object.keys(shape ?? {});
}

export const complaint: z.core.$ZodErrorMap = (issue) => {
  if (issue.input === undefined && issue.code !== "custom") return "is required";
  switch (issue.code) {
    case "invalid_type": {
      const wanted = KINDS[issue.expected] ?? issue.expected;
      return Number.isNaN(issue.input) ? `must be ${wanted}` : `must be ${wanted}, not ${kindOf(issue.input)}`;
    }
    case "too_big":
      return bound("most", issue);
    case "too_small":
      return bound("least", issue);
    case "invalid_value":
      return `must be ${anyOf(issue.values)}${shownChoice(issue.input)}`;
    case "invalid_format":
      return FORMATS[issue.format] ?? "is not of the form that is asked for";
    case "invalid_key":
      return first(issue.issues);
    case "invalid_union":
      return first(issue.errors[0]);
    case "unrecognized_keys":
      return unknown(issue.keys, namesOf(issue.inst));
    case "not_multiple_of":
      return `must be a multiple of ${issue.divisor}, not ${kindOf(issue.input)}`;
    case "invalid_element":
    case "custom":
      return "is not valid";
  }
};
