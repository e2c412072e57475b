// Pictures for tests of the media: RGB, and what the engine makes of it (native/engine/nv12.h).
import type { FrameSize, Frames } from "../../../runner/media/frames.ts";

/** RGB24 of `count` frames as NV12, BT.709, limited range, with the engine's own integers. */
export function framesOf(rgb: Uint8Array, { width, height }: FrameSize, count: number): Frames {
  const nv12 = Buffer.alloc((width * height * 3 * count) / 2);
  let out = 0;
  for (let frame = 0; frame < count; frame++) {
    const at = (y: number, x: number, c: number) => rgb[((frame * height + y) * width + Math.max(0, x)) * 3 + c] ?? 0;
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        nv12[out++] = 16 + ((11_966 * at(y, x, 0) + 40_254 * at(y, x, 1) + 4_064 * at(y, x, 2) + (1 << 15)) >> 16);
      }
    }
    for (let y = 0; y < height; y += 2) {
      for (let x = 0; x < width; x += 2) {
        const sum = (c: number) =>
          [y, y + 1].reduce((all, row) => all + at(row, x - 1, c) + 2 * at(row, x, c) + at(row, x + 1, c), 0);
        const [r, g, b] = [sum(0), sum(1), sum(2)];
        nv12[out++] = 128 + ((-6_596 * r - 22_188 * g + 28_784 * b + (1 << 18)) >> 19);
        nv12[out++] = 128 + ((28_784 * r - 26_145 * g - 2_639 * b + (1 << 18)) >> 19);
      }
    }
  }
  return { nv12, width, height, count };
}
