// The demo set's tokenizer.json: a Unigram model in HuggingFace's format and umT5's shape (NFKC, Metaspace,
// </s> at the end), with a vocabulary of prompt words, endings, letter pairs and single characters.
import { ENDINGS, WORDS } from "./words.ts";

type Piece = readonly [piece: string, score: number];

const SPECIAL_TOKENS = ["<pad>", "</s>", "<unk>"] as const;
const UNKNOWN_ID = 2;
/** Stands for a space, as SentencePiece writes it. */
const SPACE = "\u2581";

function unique(text: string): string[] {
  return [...new Set(text.split(/\s+/).filter((word) => word !== ""))];
}

/** Log probability by rank, as Zipf's law has it; rounded, so that the file is the same on every machine. */
function zipf(base: number, rank: number): number {
  return Math.round((base - Math.log(rank + 1)) * 1e4) / 1e4;
}

function letterPairs(): string[] {
  const vowels = Array.from("aeiou");
  const consonants = Array.from("bcdfghjklmnpqrstvwxyz");
  return vowels.flatMap((vowel) => consonants.flatMap((consonant) => [consonant + vowel, vowel + consonant]));
}

function characterRange(first: number, last: number): string[] {
  return Array.from({ length: last - first + 1 }, (_, i) => String.fromCodePoint(first + i));
}

/** Latin, Greek, Cyrillic and kana one by one; any other character becomes <unk>. NFKC has unified the rest. */
function singleCharacters(): string[] {
  const characters = [
    ...characterRange(0x21, 0x7e),
    ...characterRange(0xa1, 0x17f),
    ...characterRange(0x386, 0x3ce),
    ...characterRange(0x400, 0x45f),
    ...characterRange(0x2010, 0x2027),
    ...characterRange(0x3041, 0x30fe),
  ];
  return characters.filter((char) => char === char.normalize("NFKC") && /[\p{L}\p{N}\p{P}\p{S}]/u.test(char));
}

/** Special tokens first, as their ids are fixed; no piece twice. */
function vocabulary(): Piece[] {
  const scores = new Map<string, number>();
  const add = (piece: string, score: number) => {
    if (!scores.has(piece)) scores.set(piece, score);
  };
  add(SPACE, -3);
  unique(WORDS).forEach((word, rank) => {
    add(SPACE + word, zipf(-4, rank));
  });
  unique(ENDINGS).forEach((ending, rank) => {
    add(ending, zipf(-6, rank));
  });
  letterPairs().forEach((pair, rank) => {
    add(pair, zipf(-7, rank));
  });
  singleCharacters().forEach((char, rank) => {
    add(char, zipf(-8, rank));
  });
  return [...SPECIAL_TOKENS.map((token): Piece => [token, 0]), ...scores];
}

export interface DemoTokenizer {
  /** The file's text. */
  readonly json: string;
  readonly vocabularySize: number;
}

export function demoTokenizer(): DemoTokenizer {
  const pieces = vocabulary();
  const special = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  const tokenizer = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: SPECIAL_TOKENS.map((content, id) => ({ id, content, ...special })),
    normalizer: { type: "NFKC" },
    pre_tokenizer: { type: "Metaspace", replacement: SPACE, prepend_scheme: "always", split: true },
    post_processor: {
      type: "TemplateProcessing",
      single: [{ Sequence: { id: "A", type_id: 0 } }, { SpecialToken: { id: "</s>", type_id: 0 } }],
      pair: [],
      special_tokens: { "</s>": { id: "</s>", ids: [1], tokens: ["</s>"] } },
    },
    decoder: { type: "Metaspace", replacement: SPACE, prepend_scheme: "always", split: true },
    model: { type: "Unigram", unk_id: UNKNOWN_ID, vocab: pieces, byte_fallback: false },
  };
  return { json: `${JSON.stringify(tokenizer)}\n`, vocabularySize: pieces.length };
}
