import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DEMO_FILES } from "../../../models/demo/shipped.ts";
import { loadTokenizer, MAX_TOKENS, type PromptTokenizer } from "../../../runner/text/tokenizer.ts";

const whole = JSON.parse(readFileSync(DEMO_FILES.tokenizer, "utf8"));
const pieces: string[] = whole.model.vocab.map(([piece]: [string, number]) => piece);

let folder: string;
let tokenizer: PromptTokenizer;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "turboclip-tokenizer-"));
  tokenizer = await loadTokenizer(DEMO_FILES.tokenizer);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const textOf = (ids: number[]) => ids.map((id) => pieces[id]);

describe("the demo tokeniser", () => {
  test("splits a prompt into words it knows and ends it with </s>", () => {
    expect(textOf(tokenizer.encode("a red ball bouncing on a green field"))).toEqual([
      "▁a",
      "▁red",
      "▁ball",
      "▁bouncing",
      "▁on",
      "▁a",
      "▁green",
      "▁field",
      "</s>",
    ]);
  });

  test("spells words it does not know from endings and letters", () => {
    const spelled = textOf(tokenizer.encode("zyxwvut7"));
    expect(spelled.slice(0, -1).join("")).toBe("▁zyxwvut7");
    expect(spelled).not.toContain("<unk>");
  });

  test("tokenises any prompt: characters that it lacks become <unk>", () => {
    expect(textOf(tokenizer.encode("日本 ok"))).toEqual(["▁", "<unk>", "▁", "o", "k", "</s>"]);
  });

  test("reads capitals as small letters", () => {
    expect(tokenizer.encode("A Red BALL")).toEqual(tokenizer.encode("a red ball"));
  });

  test("cleans the prompt first", () => {
    expect(tokenizer.encode("  a\u00a0red\n&amp; \x00ball ")).toEqual(tokenizer.encode("a red & ball"));
  });

  test("keeps at most 512 ids, </s> among them", () => {
    const ids = tokenizer.encode("red ".repeat(1_000));
    expect(ids).toHaveLength(MAX_TOKENS);
    expect(pieces[ids.at(-1) ?? 0]).toBe("</s>");
    expect(tokenizer.encode("")).toEqual([1]);
  });

  test("only gives ids inside its vocabulary", () => {
    const ids = tokenizer.encode("The QUICK brown fox — “jumps” over 13 lazy dogs, doesn’t it? </s> <pad>");
    expect(Math.max(...ids)).toBeLessThan(tokenizer.vocabularySize);
    expect(Math.min(...ids)).toBeGreaterThanOrEqual(0);
  });
});

describe("a tokenizer file that is wrong is refused by name:", () => {
  const withoutEnd = {
    ...whole,
    added_tokens: [],
    model: { ...whole.model, vocab: whole.model.vocab.filter(([piece]: [string, number]) => piece !== "</s>") },
  };
  test.each([
    ["not JSON", "{", "is not JSON"],
    ["another kind", JSON.stringify({ model: { type: "BPE", vocab: {} } }), "is not a Unigram tokenizer.json"],
    ["half a file", JSON.stringify({ model: whole.model }), "cannot be used"],
    ["no </s>", JSON.stringify(withoutEnd), "has no </s> token"],
  ])("%s", async (_, text, message) => {
    const path = join(folder, "wrong.json");
    await writeFile(path, text);
    await expect(loadTokenizer(path)).rejects.toThrow(message);
    await expect(loadTokenizer(path)).rejects.toThrow(path);
  });
});
