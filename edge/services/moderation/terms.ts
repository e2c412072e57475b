// The built-in moderator: prompts that hold one of an operator's words or phrases. It reads as people do who try to get past
// it: letters in any width, case or decoration are the same, invisible ones are none, and what lies between words is a space.
import type { Moderator, Verdict } from "../ports.ts";

const ALLOWED: Verdict = { allowed: true };
/** Scripts that are written without spaces, in which a term may stand anywhere. */
const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}]/u;

/** Words with one space before, between and after. */
export function plainly(text: string): string {
  const letters = text.normalize("NFKD").replace(/[\p{M}\p{Cf}]/gu, "");
  return ` ${letters
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, " ")
    .trim()} `;
}

export function moderatorByTerms(terms: readonly string[]): Moderator {
  const wanted = terms.map((term) => {
    const plain = plainly(term);
    return UNSPACED.test(plain) ? plain.trim() : plain;
  });
  return {
    async reviewPrompt({ prompt }) {
      const text = plainly(prompt);
      const at = wanted.findIndex((plain) => text.includes(plain));
      // By its place in the list: the term itself would be words of the prompt.
      return at < 0 ? ALLOWED : { allowed: false, by: "terms", reason: `term ${at + 1}` };
    },
    async reviewClip() {
      return ALLOWED; // it knows nothing of pictures
    },
  };
}
