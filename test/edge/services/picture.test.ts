import { describe, expect, it } from "vitest";
import { readPicture } from "../../../edge/services/uploads/picture.ts";
import { type PictureName, pictureFile, pngHeader } from "../support/pictures.ts";

const TYPES = [
  ["png", "image/png"],
  ["jpeg", "image/jpeg"],
  ["progressive", "image/jpeg"],
  ["webp", "image/webp"],
  ["lossless", "image/webp"],
  ["extended", "image/webp"],
] as const satisfies readonly (readonly [PictureName, string])[];

describe("a picture's header", () => {
  it.each(TYPES)("of a %s file says %s and 80 x 64", (name, type) => {
    expect(readPicture(pictureFile(name))).toEqual({ type, width: 80, height: 64 });
  });

  it.each(TYPES)("of a %s file that ends within it is none, wherever it ends", (name) => {
    const whole = pictureFile(name);
    let complete = 0;
    for (let length = 0; length < whole.length; length++) {
      const found = readPicture(whole.subarray(0, length));
      if (found !== null) complete += 1;
      else expect(complete).toBe(0); // once it is complete, more bytes change nothing
    }
    expect(complete).toBeGreaterThan(0);
  });

  it.each(TYPES)("of a %s file with any one byte changed is read to an end without an error", (name) => {
    const whole = pictureFile(name);
    for (let at = 0; at < whole.length; at++) {
      for (const value of [0x00, 0xff, (whole[at] ?? 0) ^ 0x80]) {
        const changed = Uint8Array.from(whole);
        changed[at] = value;
        const found = readPicture(changed);
        if (found !== null) expect(Number.isInteger(found.width + found.height)).toBe(true);
      }
    }
  });

  it("may say sizes of any magnitude, and is read as it is", () => {
    expect(readPicture(pngHeader(4_000_000_000, 1))).toEqual({ type: "image/png", width: 4_000_000_000, height: 1 });
  });

  it("skips the fill bytes that may stand before a JPEG's markers", () => {
    const [start, rest] = [pictureFile("jpeg").subarray(0, 2), pictureFile("jpeg").subarray(2)];
    expect(readPicture(Uint8Array.of(...start, 0xff, 0xff, ...rest))).toMatchObject({ width: 80, height: 64 });
  });

  it.each([
    ["nothing", []],
    ["text", Array.from("hello, this is no picture at all ".repeat(3), (char) => char.charCodeAt(0))],
    ["a JPEG whose scan begins before its frame", [0xff, 0xd8, 0xff, 0xda, 0, 8, 0, 0, 0, 0, 0, 0]],
    ["a RIFF file that is a sound", Array.from("RIFF\0\0\0\0WAVEfmt ".padEnd(40), (char) => char.charCodeAt(0))],
    ["a WebP of an unknown kind", Array.from("RIFF\0\0\0\0WEBPVP9 ".padEnd(40), (char) => char.charCodeAt(0))],
  ])("is not found in %s", (_, bytes) => {
    expect(readPicture(Uint8Array.from(bytes))).toBeNull();
  });
});
