// What a moderator gives as its reason, without what it repeats of the prompt: the audit log keeps it for ever, and a prompt
// must be erasable.

/** Of scripts without spaces each letter is a word; of others, what has but one or two letters tells nothing. */
const WORD =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}]|[\p{L}\p{N}\p{M}]{3,}/gu;
const LEFT_OUT = "…";

const plain = (word: string) => word.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

/** "a turquoise elephant is a weapon" about "my turquoise elephant" is "a … … is a weapon". */
export function withoutWordsOf(prompt: string, reason: string): string {
  const said = new Set((prompt.match(WORD) ?? []).map(plain));
  return reason.replace(WORD, (word) => (said.has(plain(word)) ? LEFT_OUT : word));
}
