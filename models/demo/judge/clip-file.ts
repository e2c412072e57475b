// Clips as models/demo/training/clip_file.py writes them.
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { type Clip, STEP } from "./picture.ts";
import { world } from "./world.ts";

/** Throws where the file does not hold whole clips of the demo's size. */
export function readClips(file: string): Clip[] {
  const bytes = gunzipSync(readFileSync(file));
  const { frames, width, height } = { ...world, width: world.width / STEP, height: world.height / STEP };
  const size = frames * height * width * 3;
  if (bytes.length === 0 || bytes.length % size !== 0) {
    throw new Error(`${file} holds ${bytes.length} bytes, which is no multiple of ${size}, one clip`);
  }
  return Array.from({ length: bytes.length / size }, (_, i) => ({
    frames,
    height,
    width,
    rgb: bytes.subarray(i * size, (i + 1) * size),
  }));
}
