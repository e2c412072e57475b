// The single-byte encodings that UTF-8 text is most often misread as, as maps from character to byte.
// "Sloppy" ones, as browsers and ftfy use them: an unassigned byte stands for the character of the same
// number, and byte 1A stands for U+FFFD, the trace of a byte that somebody else could not read.

export interface Charmap {
  readonly name: string;
  readonly sloppy: boolean;
  /** The text as bytes, one a character (a "binary string"), or undefined if it has a character without a byte. */
  encode(text: string): string | undefined;
}

/** Bytes 80 to FF of IBM code page 437, which TextDecoder does not know. */
const CP437 =
  "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0";

/** Bytes 80 to 9F of Windows-1252, written out because some releases of Node decode them as Latin-1. */
const WINDOWS_1252_C1 = "€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ";

function highCharacters(label: string): string {
  const latin1 = Array.from({ length: 128 }, (_, i) => String.fromCharCode(128 + i)).join("");
  if (label === "latin-1") return latin1;
  if (label === "windows-1252") return WINDOWS_1252_C1 + latin1.slice(32);
  if (label === "cp437") return CP437;
  const decoded = new TextDecoder(label).decode(Uint8Array.from({ length: 128 }, (_, i) => 128 + i));
  return Array.from(decoded, (char, i) => (char === "\ufffd" ? String.fromCharCode(128 + i) : char)).join("");
}

function makeCharmap(label: string): Charmap {
  const sloppy = label.startsWith("windows-");
  const byteOf = new Map<string, string>();
  for (let byte = 0; byte < 128; byte++) byteOf.set(String.fromCharCode(byte), String.fromCharCode(byte));
  if (sloppy) {
    byteOf.delete("\x1a");
    byteOf.set("\ufffd", "\x1a");
  }
  Array.from(highCharacters(label)).forEach((char, i) => {
    byteOf.set(char, String.fromCharCode(128 + i));
  });
  return {
    name: label,
    sloppy,
    encode(text) {
      let bytes = "";
      for (const char of text) {
        const byte = byteOf.get(char);
        if (byte === undefined) return undefined;
        bytes += byte;
      }
      return bytes;
    },
  };
}

/** In the order in which a repair tries them. */
export const CHARMAPS: readonly Charmap[] = [
  "latin-1",
  "windows-1252",
  "windows-1251",
  "windows-1250",
  "windows-1253",
  "windows-1254",
  "windows-1257",
  "iso-8859-2",
  "macintosh",
  "cp437",
].map(makeCharmap);

/** C1 control characters (U+0080 to U+009F) as the Windows-1252 characters that they were meant to be. */
export function c1ToWindows1252(text: string): string {
  return text.replace(/[\u0080-\u009f]/g, (char) => WINDOWS_1252_C1.charAt(char.charCodeAt(0) - 128));
}
