// Repairs text as ftfy's `fix_text` does with its defaults, because the text encoder was trained on
// prompts cleaned so (https://github.com/rspeer/python-ftfy 6.3, Apache-2.0, Robyn Speer; the steps and
// byte patterns below follow it). test/runner/text holds vectors made with ftfy itself.
import { CHARMAPS, c1ToWindows1252 } from "./charmaps.ts";
import { unescapeStrictEntities } from "./entities.ts";
import { looksMisread, MISREAD_SEQUENCES } from "./mojibake.ts";

/** Each pass undoes one layer of damage; text damaged more often than this stays as it is then. */
const MAX_PASSES = 16;

/** Repairs line by line, so that damage in one line does not hide that another is sound. */
export function repairText(text: string): string {
  let unescapes = true;
  return text
    .split(/(?<=\n)/)
    .map((line) => {
      // A tag says that this is markup, whose entities are meant; ftfy then leaves the rest alone too.
      if (line.includes("<")) unescapes = false;
      return repairLine(line, unescapes);
    })
    .join("");
}

function repairLine(line: string, unescapes: boolean): string {
  let text = line;
  for (let pass = 0; pass < MAX_PASSES; pass++) {
    const before = text;
    if (unescapes) text = unescapeStrictEntities(text);
    text = repairEncoding(text);
    text = c1ToWindows1252(text);
    text = splitLigatures(text);
    text = standardWidth(text);
    text = straightQuotes(text);
    text = text.replace(/\r\n|[\r\u2028\u2029\u0085]/g, "\n");
    text = text.toWellFormed();
    text = removeControls(text);
    text = text.normalize("NFC");
    if (text === before) break;
  }
  return text;
}

/** Undoes UTF-8 read as a single-byte encoding, layer by layer. */
export function repairEncoding(text: string): string {
  let current = text;
  for (let pass = 0; pass < MAX_PASSES; pass++) {
    const next = repairEncodingOnce(current);
    if (next === current) break;
    current = next;
  }
  return current;
}

function repairEncodingOnce(text: string): string {
  if (!looksMisread(text)) return text;
  for (const charmap of CHARMAPS) {
    let bytes = charmap.encode(text);
    if (bytes === undefined) continue;
    // In MacRoman the pattern would match an en dash and a space.
    if (charmap.name !== "macintosh") bytes = restoreNoBreakSpaces(bytes);
    if (charmap.sloppy) bytes = bytes.replace(LOSSY_UTF8, "\xef\xbf\xbd");
    const decoded = decodeUtf8(bytes);
    if (decoded !== undefined) return decoded;
  }
  const mended = text.replace(MISREAD_SEQUENCES, (run) =>
    run.length < text.length && looksMisread(run) ? repairEncoding(run) : run,
  );
  if (mended !== text) return mended;
  // C1 controls that are left were meant as Windows-1252.
  return c1ToWindows1252(text);
}

// Byte patterns work on "binary strings": one character a byte.

/** UTF-8 whose byte A0 some program took for a space; only lead bytes that make likely characters. */
const ALTERED_UTF8 =
  /[\xc2\xc3\xc5\xce\xd0\xd9][ ]|[\xe2\xe3][ ][\x80-\x84\x86-\x9f\xa1-\xbf]|[\xe0-\xe3][\x80-\x84\x86-\x9f\xa1-\xbf][ ]|\xf0[ ][\x80-\xbf][\x80-\xbf]|\xf0[\x80-\xbf][ ][\x80-\xbf]|\xf0[\x80-\xbf][\x80-\xbf][ ]/g;
/** A with grave as a word of its own keeps its space, but for Portuguese contractions. */
const A_GRAVE_WORD = /\xc3 (?! |quele|quela|quilo|s )/g;

function restoreNoBreakSpaces(bytes: string): string {
  if (bytes.search(ALTERED_UTF8) < 0) return bytes;
  return bytes.replace(A_GRAVE_WORD, "\xc3\xa0 ").replace(ALTERED_UTF8, (sequence) => sequence.replaceAll(" ", "\xa0"));
}

/** UTF-8 sequences that lost a byte, which stands as 1A or a question mark: they become U+FFFD. */
const LOSSY_UTF8 = new RegExp(
  [
    "[\\xc2-\\xdf][\\x1a]",
    "[\\xc2-\\xc3][?]",
    "\\xed[\\xa0-\\xaf][\\x1a?]\\xed[\\xb0-\\xbf][\\x1a?\\x80-\\xbf]",
    "\\xed[\\xa0-\\xaf][\\x1a?\\x80-\\xbf]\\xed[\\xb0-\\xbf][\\x1a?]",
    "[\\xe0-\\xef][\\x1a?][\\x1a\\x80-\\xbf]",
    "[\\xe0-\\xef][\\x1a\\x80-\\xbf][\\x1a?]",
    "[\\xf0-\\xf4][\\x1a?][\\x1a\\x80-\\xbf][\\x1a\\x80-\\xbf]",
    "[\\xf0-\\xf4][\\x1a\\x80-\\xbf][\\x1a?][\\x1a\\x80-\\xbf]",
    "[\\xf0-\\xf4][\\x1a\\x80-\\xbf][\\x1a\\x80-\\xbf][\\x1a?]",
    "\\x1a",
  ].join("|"),
  "g",
);

/** A surrogate pair as two three-byte sequences, as CESU-8 writes it. */
const CESU8_PAIR = /\xed([\xa0-\xaf])([\x80-\xbf])\xed([\xb0-\xbf])([\x80-\xbf])/g;
const STRICT_UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Strict UTF-8, but for two forms that Java and Oracle write: C0 80 for NUL, and CESU-8. */
function decodeUtf8(bytes: string): string | undefined {
  const standard = bytes
    .replaceAll("\xc0\x80", "\0")
    .replace(CESU8_PAIR, (_, b1: string, b2: string, b4: string, b5: string) => {
      const bits = (char: string, mask: number): number => char.charCodeAt(0) & mask;
      const high = (bits(b1, 0x0f) << 16) | (bits(b2, 0x3f) << 10);
      const codePoint = 0x10000 + (high | (bits(b4, 0x0f) << 6) | bits(b5, 0x3f));
      return Buffer.from(String.fromCodePoint(codePoint), "utf8").toString("latin1");
    });
  try {
    return STRICT_UTF8.decode(Buffer.from(standard, "latin1"));
  } catch {
    return undefined; // not UTF-8: the next encoding is tried
  }
}

const LIGATURES = new Map(
  Object.entries({
    ...{ Ĳ: "IJ", ĳ: "ij", ŉ: "ʼn", Ǳ: "DZ", ǲ: "Dz", ǳ: "dz", Ǆ: "DŽ", ǅ: "Dž", ǆ: "dž" },
    ...{ Ǉ: "LJ", ǈ: "Lj", ǉ: "lj", Ǌ: "NJ", ǋ: "Nj", ǌ: "nj" },
    ...{ ﬀ: "ff", ﬁ: "fi", ﬂ: "fl", ﬃ: "ffi", ﬄ: "ffl", ﬅ: "ſt", ﬆ: "st" },
  }),
);
const LIGATURE = new RegExp(`[${[...LIGATURES.keys()].join("")}]`, "g");

function splitLigatures(text: string): string {
  return text.replace(LIGATURE, (char) => LIGATURES.get(char) ?? char);
}

/** Full-width letters and half-width katakana become the ordinary ones. */
function standardWidth(text: string): string {
  return text.replace(/[\u3000\uff01-\uffef]/g, (char) => (char === "\u3000" ? " " : char.normalize("NFKC")));
}

function straightQuotes(text: string): string {
  return text.replace(/[\u201c-\u201f]/g, '"').replace(/[\u02bc\u2018-\u201b]/g, "'");
}

const ESCAPE = "\\x1b";
const TERMINAL_COLOUR = new RegExp(`${ESCAPE}\\[[\\d;]*[a-zA-Z]`, "g");
/** Tabs and line ends stay. */
const ASCII_CONTROLS = "\\x00-\\x08\\x0b\\x0e-\\x1f\\x7f";
const CONTROLS = new RegExp(`[${ASCII_CONTROLS}\\u206a-\\u206f\\ufeff\\ufff9-\\ufffc]`, "g");

/** Control characters that no prompt means. */
function removeControls(text: string): string {
  return text.replace(TERMINAL_COLOUR, "").replace(CONTROLS, "");
}
