// What is done to a prompt before it is tokenised, exactly as the reference does it: the released
// weights saw prompts cleaned so.
import { unescapeHtml } from "./entities.ts";
import { repairText } from "./repair.ts";

/** Characters that Python's `\s` matches; JavaScript's adds U+FEFF and lacks the separators and U+0085. */
const SEPARATORS = "\\x1c-\\x1f\\x85";
const WHITE_SPACE = new RegExp(
  `[\\t-\\r \\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000${SEPARATORS}]+`,
  "g",
);

/** Repair, HTML unescape twice, white space collapsed. May return "" for a prompt of controls alone. */
export function cleanPrompt(prompt: string): string {
  return unescapeHtml(unescapeHtml(repairText(prompt)))
    .replace(WHITE_SPACE, " ")
    .replace(/^ | $/g, "");
}
