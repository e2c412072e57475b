import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { cleanPrompt } from "../../../runner/text/clean.ts";
import { unescapeHtml } from "../../../runner/text/entities.ts";
import { repairText } from "../../../runner/text/repair.ts";

const { vectors }: { vectors: [string, string][] } = JSON.parse(
  readFileSync(new URL("./clean-vectors.json", import.meta.url), "utf8"),
);

describe("cleaning equals the reference, ftfy and Python's html.unescape,", () => {
  test.each(vectors)("for %j", (prompt, expected) => {
    expect(cleanPrompt(prompt)).toBe(expected);
  });
});

describe("repair", () => {
  test("undoes several layers of UTF-8 read as Windows-1252", () => {
    expect(repairText("doesnÃƒÂ¢Ã¢â€šÂ¬Ã¢â€žÂ¢t")).toBe("doesn't");
  });

  test("leaves text alone that is only unusual", () => {
    for (const text of ["El Niño, Ångström, déjà vu", "¯\\_(ツ)_/¯", "Привет, мир", "日本語", "10³ ½ °C"]) {
      expect(repairText(text)).toBe(text);
    }
  });

  test("straightens quotes, splits ligatures, narrows wide letters, drops controls and half surrogates", () => {
    expect(repairText("“ﬁne” ‘ok’ ＡＢＣ\u3000x\x00\x1b[31m\ud83d")).toBe("\"fine\" 'ok' ABC x\ufffd");
  });

  test("ends on the longest prompt in well under a second, whatever it holds", () => {
    for (const unit of ["Ã", "Ã ", "â€™", "&amp;", "ГўВЂВ", "\ufffd", "ðŸ˜€", "&".repeat(3)]) {
      const began = performance.now();
      cleanPrompt(unit.repeat(Math.ceil(4_000 / unit.length)));
      expect(performance.now() - began).toBeLessThan(1_000);
    }
  });
});

describe("HTML references", () => {
  test("are read as browsers read them: all named ones, with or without their semicolon, and numbers", () => {
    expect(unescapeHtml("&lt;&eacute;&NotEqualTilde;&CounterClockwiseContourIntegral;")).toBe("<é≂̸∳");
    expect(unescapeHtml("&copy 1 &notit; &#39;&#x1F600;&#128;&#xD800;&#1;")).toBe("© 1 ¬it; '😀€\ufffd");
  });

  test("that do not exist stay as they are", () => {
    expect(unescapeHtml("&nosuch; R&D & more &;")).toBe("&nosuch; R&D & more &;");
  });
});
