// Model sets of the released shapes without their weights: safetensors files whose data is a hole in the disk, so that
// what is planned by their headers can be planned for any model on any machine.
import { mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { EnginePaths } from "../native/index.ts";
import { type TensorSpec, textEncoderTensors, transformerTensors } from "../test/fixtures/random-model/layout.ts";
import { vaeTensors } from "../test/fixtures/random-model/vae-layout.ts";

const TEXT_WIDTH = 4096;
const BYTES = 2;

export const TRUE_SHAPES = {
  "1.3B": { width: 1536, ffn: 8960, layers: 30, textWidth: TEXT_WIDTH, inChannels: 16 },
  "14B": { width: 5120, ffn: 13824, layers: 40, textWidth: TEXT_WIDTH, inChannels: 16 },
  "A14B, one expert": { width: 5120, ffn: 13824, layers: 40, textWidth: TEXT_WIDTH, inChannels: 36 },
} as const;
export type TrueShape = keyof typeof TRUE_SHAPES;

/** Levels of taew2_1.pth: where its blocks begin, their width, where it grows, how many frames of one, and what is made. */
const TAEHV_LEVELS = [
  [3, 256, 7, 1, 128],
  [9, 128, 13, 2, 64],
  [15, 64, 19, 2, 64],
] as const;

function taehvTensors(): TensorSpec[] {
  const conv = (name: string, out: number, input: number, kernel: number, bias = true): TensorSpec[] => [
    { name: `decoder.${name}.weight`, shape: [out, input, kernel, kernel], fill: { constant: 0 } },
    ...(bias ? [{ name: `decoder.${name}.bias`, shape: [out], fill: { constant: 0 } }] : []),
  ];
  const levels = TAEHV_LEVELS.flatMap(([first, width, grow, frames, out]) => [
    ...[0, 1, 2].flatMap((block) =>
      [0, 2, 4].flatMap((part) => conv(`${first + block}.conv.${part}`, width, part === 0 ? 2 * width : width, 3)),
    ),
    ...conv(`${grow}.conv`, frames * width, width, 1, false),
    ...conv(`${grow + 1}`, out, width, 3, false),
  ]);
  return [...conv("1", 256, 16, 3), ...levels, ...conv("22", 3, 64, 3)];
}

/** Zeros that take no room. */
function writeHollow(path: string, specs: readonly TensorSpec[]): void {
  let end = 0;
  const header: Record<string, object> = {};
  for (const { name, shape } of specs) {
    const begin = end;
    end += shape.reduce((all, size) => all * size, BYTES);
    header[name] = { dtype: "BF16", shape, data_offsets: [begin, end] };
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  writeFileSync(path, Buffer.concat([length, json]));
  truncateSync(path, length.length + json.length + end);
}

/** The files of a set, in a folder that is there or made. */
export function writeTrueShapes(folder: string, shape: TrueShape): Required<EnginePaths> {
  mkdirSync(folder, { recursive: true });
  const file = (name: string, specs: readonly TensorSpec[]) => {
    const path = join(folder, `${name}.safetensors`);
    writeHollow(path, specs);
    return path;
  };
  return {
    transformer: file("transformer", transformerTensors(TRUE_SHAPES[shape])),
    textEncoder: file(
      "text-encoder",
      textEncoderTensors({ vocabulary: 256_384, width: TEXT_WIDTH, ffn: 10_240, heads: 64, layers: 24 }),
    ),
    vae: file("vae", vaeTensors(96, 1)),
    tinyDecoder: file("taehv", taehvTensors()),
  };
}
