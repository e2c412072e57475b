// From a trigger and what was posted to it to the order for a clip, or to none.
import type { TriggerRow } from "../../../db/queries/triggers/triggers.ts";
import { type CreateClip, LIMITS } from "../../../shared/contract/clips.ts";
import { ApiError } from "../../../shared/errors.ts";
import { quoteClip } from "../clips/quote.ts";
import { findValue, type JsonPath, type JsonValue, PathError, parsePath } from "./path.ts";
import { parseTemplate, render, type Template } from "./template.ts";

export type Recipe = Pick<TriggerRow, "prompt" | "metadata" | "conditions" | "clip">;

export interface CompiledRecipe {
  readonly prompt: Template;
  readonly metadata: readonly (readonly [name: string, value: Template])[];
  readonly conditions: readonly (readonly [path: JsonPath, value: string | number | boolean])[];
  readonly clip: Recipe["clip"];
}

/** Throws invalid_request, which names the member and the character. */
export function compileRecipe({ prompt, metadata, conditions, clip }: Recipe): CompiledRecipe {
  return {
    prompt: parseTemplate(prompt, "/prompt"),
    metadata: Object.entries(metadata).map(([name, value]) => [name, parseTemplate(value, `/metadata/${name}`)]),
    conditions: Object.entries(conditions).map(([path, value]) => [parseCondition(path), value]),
    clip,
  };
}

function parseCondition(text: string): JsonPath {
  try {
    return parsePath(text);
  } catch (error) {
    if (!(error instanceof PathError)) throw error;
    throw new ApiError("invalid_request", `/when: ${text}: ${error.message} (character ${error.at + 1})`, "/when");
  }
}

/** What is wrong with a trigger whatever is posted to it: its templates, and what an order is refused by. */
export function checkRecipe(recipe: Recipe): void {
  compileRecipe(recipe);
  try {
    quoteClip({ ...recipe.clip, prompt: "any" });
  } catch (error) {
    if (!(error instanceof ApiError) || error.pointer === undefined) throw error;
    throw new ApiError(error.code, error.message, `/clip${error.pointer}`);
  }
}

/** Whether the body has all that `when` asks for: the same value, and of the same type. */
export function isWanted({ conditions }: CompiledRecipe, body: JsonValue): boolean {
  return conditions.every(([path, value]) => findValue(body, path) === value);
}

/** Throws invalid_request where the body has not what the templates need. */
export function makeOrder({ prompt, metadata, clip }: CompiledRecipe, body: JsonValue): CreateClip {
  const entries = metadata.map(([name, template]) => [name, metadataValue(name, render(template, body))] as const);
  return {
    ...clip,
    prompt: render(prompt, body),
    ...(entries.length > 0 && { metadata: Object.fromEntries(entries) }),
  };
}

function metadataValue(name: string, value: string): string {
  const most = LIMITS.metadata.valueCharacters;
  if (value.length <= most) return value;
  const detail = `The metadata ${name} would have ${value.length} characters; a value has at most ${most}.`;
  throw new ApiError("invalid_request", detail);
}
