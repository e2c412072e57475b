// Token ids of a prompt, by the tokenizer.json that stands beside the text encoder.
import { readFile } from "node:fs/promises";
import { Tokenizer } from "@huggingface/tokenizers";
import * as z from "zod";
import { cleanPrompt } from "./clean.ts";

/** umT5 was asked for at most this many rows, </s> included. */
export const MAX_TOKENS = 512;
const END = "</s>";
/** google/umt5-xxl's file has 17 MB. */
const MAX_FILE_BYTES = 64 * 1024 * 1024;

/** Only the kind that umT5 uses; the rest of the file is the library's to read. */
const fileSchema = z.looseObject({
  model: z.looseObject({ type: z.literal("Unigram"), vocab: z.array(z.tuple([z.string(), z.number()])).min(3) }),
});

export interface PromptTokenizer {
  readonly vocabularySize: number;
  /** Ids of the cleaned prompt with </s> last, 1 to 512 of them; a longer prompt loses its end. */
  encode(prompt: string): number[];
}

/** Reads a tokenizer.json; the error names the file and what is wrong with it. */
export async function loadTokenizer(path: string): Promise<PromptTokenizer> {
  const bytes = await readFile(path);
  if (bytes.length > MAX_FILE_BYTES) throw new Error(`${path} has ${bytes.length} bytes, more than a tokenizer.json`);
  const parsed = fileSchema.safeParse(parseJson(path, bytes.toString("utf8")));
  if (!parsed.success) throw new Error(`${path} is not a Unigram tokenizer.json: ${z.prettifyError(parsed.error)}`);
  const tokenizer = buildTokenizer(path, parsed.data);
  const end = tokenizer.token_to_id(END);
  if (end === undefined) throw new Error(`${path} has no ${END} token, which ends every prompt`);
  return {
    vocabularySize: parsed.data.model.vocab.length,
    encode(prompt) {
      const cleaned = cleanPrompt(prompt);
      // The library makes a lone space of an empty text; the reference makes nothing of it.
      const ids = cleaned === "" ? [] : tokenizer.encode(cleaned, { add_special_tokens: false }).ids;
      return [...ids.slice(0, MAX_TOKENS - 1), end];
    },
  };
}

function buildTokenizer(path: string, file: object): Tokenizer {
  try {
    return new Tokenizer(file, { eos_token: END });
  } catch (error) {
    throw new Error(`${path} cannot be used: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function parseJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${path} is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}
