// HTML character references to characters: the whole named table of the HTML standard
// (html-entities.json, https://html.spec.whatwg.org/entities.json) and the numeric forms.
import { readFileSync } from "node:fs";
import * as z from "zod";
import { c1ToWindows1252 } from "./charmaps.ts";

/** Names with their semicolon, and the old ones also without: "amp;", "amp". */
const NAMED = new Map(
  Object.entries(
    z
      .record(z.string(), z.string())
      .parse(JSON.parse(readFileSync(new URL("./html-entities.json", import.meta.url), "utf8"))),
  ),
);

/** What a numeric reference means by the HTML standard's table of parse errors. */
function numericCharacter(codePoint: number): string {
  if (codePoint === 0) return "\ufffd";
  if (codePoint >= 0x80 && codePoint <= 0x9f) return c1ToWindows1252(String.fromCharCode(codePoint));
  if ((codePoint >= 0xd800 && codePoint <= 0xdfff) || codePoint > 0x10ffff) return "\ufffd";
  const control = codePoint < 0x20 && ![0x09, 0x0a, 0x0c, 0x0d].includes(codePoint);
  const nonCharacter = (codePoint >= 0xfdd0 && codePoint <= 0xfdef) || (codePoint & 0xfffe) === 0xfffe;
  if (control || codePoint === 0x7f || nonCharacter) return "";
  return String.fromCodePoint(codePoint);
}

/** Infinity for a number too long to read, which then counts as outside Unicode. */
function numericValue(reference: string): number {
  const digits = reference.replace(/;$/, "").slice(1);
  return /^[xX]/.test(digits) ? Number.parseInt(digits.slice(1), 16) : Number.parseInt(digits, 10);
}

function resolveReference(whole: string, reference: string): string {
  if (reference.startsWith("#")) return numericCharacter(numericValue(reference));
  const exact = NAMED.get(reference);
  if (exact !== undefined) return exact;
  // The longest name that it begins with: "&notit;" is "¬it;".
  for (let length = reference.length - 1; length > 1; length--) {
    const found = NAMED.get(reference.slice(0, length));
    if (found !== undefined) return found + reference.slice(length);
  }
  return whole;
}

/** As Python's html.unescape: every reference that a browser would read, with or without its semicolon. */
export function unescapeHtml(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(/&(#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?)/gu, resolveReference);
}

/** Names that are all lower case are also read in capitals, if that is not a name of its own: "&EACUTE;". */
function upperCaseName(reference: string): string | undefined {
  if (reference !== reference.toUpperCase() || unescapeHtml(`&${reference}`) !== `&${reference}`) return undefined;
  return NAMED.get(reference.toLowerCase())?.toUpperCase();
}

/** As ftfy: only whole references that end in a semicolon, so that "this&not that" stays. */
export function unescapeStrictEntities(text: string): string {
  return text.replace(/&(#?[0-9A-Za-z]{1,24};)/g, (whole, reference: string) => {
    if (reference.startsWith("#")) {
      const unescaped = unescapeHtml(whole);
      return unescaped.includes(";") ? whole : unescaped;
    }
    return NAMED.get(reference) ?? upperCaseName(reference) ?? whole;
  });
}
