// What a picture says of itself in its first bytes: type and size, without decoding it. PNG (ISO 15948), JPEG (ITU T.81)
// and WebP (RFC 9649).
import type { PictureType } from "../../../shared/contract/uploads.ts";

export interface Picture {
  readonly type: PictureType;
  readonly width: number;
  readonly height: number;
}

/** Enough for a JPEG with a thumbnail and a colour profile before its frame header. */
export const HEADER_BYTES = 256 * 1024;

/** Null for anything that is no such picture, or whose size stands further back than these bytes. */
export function readPicture(bytes: Uint8Array): Picture | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    return readPng(view) ?? readJpeg(view) ?? readWebp(view);
  } catch (error) {
    if (error instanceof RangeError) return null; // it ends within its header
    throw error;
  }
}

function textAt(view: DataView, offset: number, length: number): string {
  let text = "";
  for (let i = 0; i < length; i++) text += String.fromCharCode(view.getUint8(offset + i));
  return text;
}

function readPng(view: DataView): Picture | null {
  const isPng = view.getUint32(0) === 0x89504e47 && view.getUint32(4) === 0x0d0a1a0a && textAt(view, 12, 4) === "IHDR";
  return isPng ? { type: "image/png", width: view.getUint32(16), height: view.getUint32(20) } : null;
}

/** SOF0 to SOF15 but DHT (C4), JPG (C8) and DAC (CC). */
function isFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
}

function readJpeg(view: DataView): Picture | null {
  if (view.getUint16(0) !== 0xffd8) return null;
  for (let at = 2; ; ) {
    if (view.getUint8(at) !== 0xff) return null;
    const marker = view.getUint8(at + 1);
    if (marker === 0xff) {
      at += 1; // fill byte
      continue;
    }
    if (isFrame(marker)) return { type: "image/jpeg", height: view.getUint16(at + 5), width: view.getUint16(at + 7) };
    // A scan or the end without a frame before it: no picture.
    if (marker === 0xda || marker === 0xd9) return null;
    at += 2 + Math.max(2, view.getUint16(at + 2));
  }
}

function readWebp(view: DataView): Picture | null {
  if (textAt(view, 0, 4) !== "RIFF" || textAt(view, 8, 4) !== "WEBP") return null;
  const type = "image/webp";
  switch (textAt(view, 12, 4)) {
    case "VP8 ": // after the frame tag and its start code; the upper two bits scale
      if (view.getUint16(23) !== 0x9d01 || view.getUint8(25) !== 0x2a) return null;
      return { type, width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
    case "VP8L": {
      if (view.getUint8(20) !== 0x2f) return null;
      const bits = view.getUint32(21, true);
      return { type, width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
    }
    case "VP8X": {
      const uint24 = (at: number) => view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
      return { type, width: uint24(24) + 1, height: uint24(27) + 1 };
    }
    default:
      return null;
  }
}
