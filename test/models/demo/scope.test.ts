import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readManifest } from "../../../models/demo/judge/world.ts";
import { scopeNotice, untaughtWords } from "../../../models/demo/scope.ts";

const heldOut = readManifest(join(import.meta.dirname, "../../../models/demo/held-out.json"));

describe("a prompt's words that the demo model was never taught", () => {
  test("are none in the prompts of its own world but for the nonsense that some have at an end", () => {
    const untaught = heldOut.map(({ prompt }) => untaughtWords(prompt));
    expect(untaught.filter((words) => words.length === 0).length).toBeGreaterThan(80);
    expect(Math.max(...untaught.map((words) => words.length))).toBeLessThanOrEqual(2);
    expect(scopeNotice("a red ball bouncing on a green field")).toBeUndefined();
  });

  test("are named once each, whatever their case and marks", () => {
    expect(untaughtWords("A Cat, a cat & the RED ball: “Привет”!")).toEqual(["cat", "привет"]);
    expect(untaughtWords("")).toEqual([]);
  });

  test("are followed by what it can draw; of many the first five", () => {
    expect(scopeNotice("a cat")).toMatch(/^the demo model was never taught "cat", .*balls that bounce.* and black\.$/);
    const many = scopeNotice("seven purple elephants dance ballet near Paris tonight");
    expect(many).toContain('"seven", "elephants", "dance", "ballet", "near" and 2 more');
  });
});
