// The shipped VAE in the engine: what training encoded of clips that it never saw comes back as it was drawn.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readClips } from "../../../models/demo/judge/clip-file.ts";
import { type Clip, STEP } from "../../../models/demo/judge/picture.ts";
import { world } from "../../../models/demo/judge/world.ts";

const ROOT = join(import.meta.dirname, "../../..");
const FIXTURES = join(ROOT, "test/fixtures/demo-world");
const LEAST_DB = 30;

/** As models/demo/training/ground_truth.py writes them: float16, one after the other. */
const SHAPE = [16, 1 + (world.frames - 1) / 4, world.height / 8, world.width / 8];
const BYTES = SHAPE.reduce((product, extent) => product * extent, 2);
const latents = readFileSync(join(FIXTURES, "latents.f16"));
const clips = readClips(join(FIXTURES, "ground-truth.gz")).slice(0, latents.length / BYTES);

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "turboclip-vae-"));
  symlinkSync(join(ROOT, "models/demo/trained/turboclip-demo/Wan2.1_VAE.pth"), join(folder, "wan_vae.pth"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Header {
  readonly [name: string]: { readonly data_offsets: readonly [number, number] };
}

function writeTensor(file: string, name: string, dtype: string, shape: readonly number[], bytes: Buffer): void {
  const header = Buffer.from(JSON.stringify({ [name]: { dtype, shape, data_offsets: [0, bytes.length] } }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  writeFileSync(file, Buffer.concat([length, header, bytes]));
}

function readTensor(file: string, name: string): Float32Array {
  const bytes = readFileSync(file);
  const start = 8 + Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.toString("utf8", 8, start)) as Header;
  const tensor = header[name];
  if (tensor === undefined) throw new Error(`${file} holds no ${name}`);
  const [from, to] = tensor.data_offsets;
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset + start + from, bytes.byteOffset + start + to));
}

/** [3, frames, height, width] in [-1, 1], by `npm run golden`'s program. */
function decode(latent: Buffer): Float32Array {
  writeTensor(join(folder, "wan_vae.io.safetensors"), "z", "F16", [1, ...SHAPE], latent);
  const out = join(folder, "out");
  mkdirSync(out, { recursive: true });
  execFileSync(join(ROOT, "build/native/tools/golden"), [folder, "--out", out]);
  return readTensor(join(out, "wan_vae.io.safetensors"), "video");
}

/** PSNR in dB, over every second pixel of every second row, which is what is kept of the drawing. */
function closeness(video: Float32Array, { rgb, frames, height, width }: Clip): number {
  let squares = 0;
  let at = 0;
  for (let t = 0; t < frames; t++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        for (let channel = 0; channel < 3; channel++) {
          const pixel = ((channel * frames + t) * world.height + STEP * y) * world.width + STEP * x;
          const value = Math.min(Math.max((video[pixel] ?? Number.NaN) * 127.5 + 127.5, 0), 255);
          squares += (value - (rgb[at++] ?? Number.NaN)) ** 2;
        }
      }
    }
  }
  return 10 * Math.log10((255 * 255 * at) / squares);
}

describe(`the VAE brings back at least ${LEAST_DB} dB of a clip that it was never trained on:`, () => {
  test.each(clips.map((clip, i) => [i, clip] as const))("held-out clip %i", { timeout: 120_000 }, (i, clip) => {
    const video = decode(latents.subarray(i * BYTES, (i + 1) * BYTES));
    expect(video).toHaveLength(3 * world.frames * world.height * world.width);
    expect(closeness(video, clip)).toBeGreaterThan(LEAST_DB);
    expect(closeness(video, clips[(i + 1) % clips.length] ?? clip)).toBeLessThan(LEAST_DB);
  });
});
