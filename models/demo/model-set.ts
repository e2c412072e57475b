// The demo model set: random weights in the official formats under the official names, small enough for a
// laptop's CPU.
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findModel } from "../../shared/models.ts";
import { textEncoderTensors, transformerTensors } from "./layout.ts";
import { pthFile } from "./pth.ts";
import { demoTokenizer } from "./tokenizer.ts";
import { vaeTensors } from "./vae-layout.ts";
import { drawTensors } from "./weights.ts";

const TEXT_WIDTH = 128;
const TRANSFORMER = { width: 256, ffn: 512, layers: 4, textWidth: TEXT_WIDTH, inChannels: 16 } as const;
const TEXT_ENCODER = { width: TEXT_WIDTH, ffn: 256, heads: 4, layers: 2 } as const;
/** The official VAE has 96; decoding costs its square. */
const VAE_WIDTH = 8;
/** Chosen by eye: colours that fill the range without clipping much. */
const PICTURE_CONTRAST = 0.7;
const DEFAULT_SEED = 1;

export interface ModelFile {
  readonly name: string;
  readonly content: Uint8Array | string;
}

/** The set's files by their official names. The same seed gives the same bytes. */
export function demoModelFiles(seed: number = DEFAULT_SEED): ModelFile[] {
  const files = findModel("turboclip-demo")?.files;
  const transformer = files?.transformer.at(-1);
  if (files === undefined || transformer === undefined) throw new Error("the registry has no turboclip-demo");
  const tokenizer = demoTokenizer();
  const textEncoder = textEncoderTensors({ ...TEXT_ENCODER, vocabulary: tokenizer.vocabularySize });
  const pth = (name: string, specs: Parameters<typeof drawTensors>[0]): ModelFile => ({
    name,
    content: pthFile(name.replace(/\.pth$/, ""), drawTensors(specs, seed)),
  });
  return [
    pth(transformer, transformerTensors(TRANSFORMER)),
    pth(files.vae, vaeTensors(VAE_WIDTH, PICTURE_CONTRAST)),
    pth(files.textEncoder, textEncoder),
    { name: files.tokenizer, content: tokenizer.json },
  ];
}

/** Each file appears whole or not at all. */
export function writeDemoModel(folder: string, seed?: number): void {
  mkdirSync(folder, { recursive: true });
  for (const { name, content } of demoModelFiles(seed)) {
    const unfinished = join(folder, `.${name}.${process.pid}`);
    writeFileSync(unfinished, content);
    renameSync(unfinished, join(folder, name));
  }
}
