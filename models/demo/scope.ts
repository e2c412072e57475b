// What the demo model can draw, and which words of a prompt it was never taught.
import { readFileSync } from "node:fs";
import * as z from "zod";
import { cleanPrompt } from "../../runner/text/clean.ts";
import { COLOUR_NAMES } from "./judge/world.ts";
import { DEMO_FILES } from "./shipped.ts";

/** Stands for a space, as SentencePiece writes it. */
const SPACE = "\u2581";
const MOST_NAMED = 5;

const fileSchema = z.object({ model: z.object({ vocab: z.array(z.tuple([z.string(), z.number()])) }) });

/** The tokenizer has every word of the training prompts as a piece of its own, in small letters. */
function taughtWords(): ReadonlySet<string> {
  const { model } = fileSchema.parse(JSON.parse(readFileSync(DEMO_FILES.tokenizer, "utf8")));
  return new Set(model.vocab.flatMap(([piece]) => (piece.startsWith(SPACE) ? [piece.slice(SPACE.length)] : [])));
}

/** The prompt's words that no training prompt had, each once. */
export function untaughtWords(prompt: string): string[] {
  const taught = taughtWords();
  const words =
    cleanPrompt(prompt)
      .toLowerCase()
      .match(/[\p{L}\p{N}]+(?:[-'’][\p{L}\p{N}]+)*/gu) ?? [];
  return [...new Set(words.filter((word) => !taught.has(word)))];
}

/** One paragraph for who asked for more than the model was taught; undefined where it knows every word. */
export function scopeNotice(prompt: string): string | undefined {
  const words = untaughtWords(prompt);
  if (words.length === 0) return undefined;
  const named = words.slice(0, MOST_NAMED).map((word) => JSON.stringify(word));
  const more = words.length > MOST_NAMED ? ` and ${words.length - MOST_NAMED} more` : "";
  return (
    `the demo model was never taught ${named.join(", ")}${more}, and draws what it makes of the rest. It knows balls ` +
    "that bounce, shapes that slide, turn, grow, shrink or cross, the sun over a sea, waves, snow, fireworks, clocks " +
    `and pendulums, in ${COLOUR_NAMES.slice(0, -1).join(", ")} and ${COLOUR_NAMES.at(-1)}.`
  );
}
