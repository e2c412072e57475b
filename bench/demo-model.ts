// How well the demo model draws prompts that it never saw: with full and sparse attention, in float and INT8, in 4, 2
// and 1 steps, on the CPU engine.
//   npm run bench -- demo-model      (most of an hour on two cores)
// TURBOCLIP_DEMO_MODEL: the folder of the set with both transformers; build/demo-trained, where training leaves it.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { drawScenes, type Settings } from "../models/demo/judge/draw.ts";
import { type Tally, tally } from "../models/demo/judge/judge.ts";
import { readManifest } from "../models/demo/judge/world.ts";
import { Engine, type EnginePaths } from "../native/index.ts";
import { loadTokenizer } from "../runner/text/tokenizer.ts";
import { findModel, type ModelSpec } from "../shared/models.ts";
import { percentile, type Result, type Row } from "./table.ts";

const ROOT = resolve(import.meta.dirname, "..");
const MANIFEST = join(ROOT, "models/demo/held-out.json");
const AIMS: Readonly<Record<keyof Tally, number>> = { of: 100, colour: 95, background: 95, motion: 90 };
const AIM_SECONDS = 15;

interface Run {
  readonly weights: "float" | "INT8";
  readonly attention: Settings["attention"];
  readonly steps: number;
}
/** The first is what the others are compared with. */
const RUNS: readonly Run[] = [
  { weights: "float", attention: "original", steps: 4 },
  { weights: "float", attention: "sla", steps: 4 },
  { weights: "INT8", attention: "original", steps: 4 },
  { weights: "INT8", attention: "sla", steps: 4 },
  { weights: "INT8", attention: "sla", steps: 2 },
  { weights: "INT8", attention: "sla", steps: 1 },
];

/** dB between two clips of 8 bits. */
function psnr(a: Buffer, b: Buffer): number {
  let sum = 0;
  for (const [i, value] of a.entries()) sum += (value - (b[i] ?? 0)) ** 2;
  return 10 * Math.log10(255 ** 2 / Math.max(sum / a.length, 1e-3));
}

function pathsOf(folder: string, spec: ModelSpec, weights: Run["weights"]): EnginePaths {
  const transformer = spec.files.transformer.find((name) => name.endsWith("-quant.pth") === (weights === "INT8"));
  if (transformer === undefined) throw new Error(`the registry names no ${weights} transformer of ${spec.id}`);
  const [textEncoder, vae] = [join(folder, spec.files.textEncoder), join(folder, spec.files.vae)];
  return { transformer: join(folder, transformer), textEncoder, vae };
}

export async function demoModel(): Promise<Result> {
  const folder = process.env.TURBOCLIP_DEMO_MODEL ?? join(ROOT, "build/demo-trained");
  const spec = findModel("turboclip-demo");
  if (spec === undefined) throw new Error("the registry has no turboclip-demo");
  const scenes = readManifest(MANIFEST);
  const tokenizer = await loadTokenizer(join(folder, spec.files.tokenizer));
  const rows: Row[] = [];
  let reference: Buffer[] = [];
  for (const { weights, attention, steps } of RUNS) {
    const engine = await Engine.load(pathsOf(folder, spec, weights));
    const settings = { attention, steps, topkRatio: spec.topkRatio, sigmaMax: spec.sigmaMax };
    const drawn = await drawScenes(engine, tokenizer, scenes, settings);
    engine.free();
    if (reference.length === 0) reference = drawn.map(({ frames }) => frames);
    const right = tally(drawn.map(({ verdict }) => verdict));
    const near = drawn.map(({ frames }, i) => psnr(frames, reference[i] ?? frames));
    const what = `${weights}, ${attention === "sla" ? "SLA" : "full attention"}, ${steps} step${steps > 1 ? "s" : ""}`;
    for (const name of ["colour", "background", "motion"] as const) {
      rows.push({
        what: `${what}: ${name}`,
        measured: `${right[name]} of ${right.of}`,
        aim: `${AIMS[name]} of ${AIMS.of}`,
      });
    }
    rows.push({ what: `${what}: PSNR against the first`, measured: `${percentile(near, 0.5).toFixed(1)} dB`, aim: "" });
    const seconds = percentile(
      drawn.map((clip) => clip.seconds),
      0.5,
    );
    rows.push({ what: `${what}: engine`, measured: `${seconds.toFixed(1)} s`, aim: `under ${AIM_SECONDS} s` });
  }
  const transformer = pathsOf(folder, spec, "INT8").transformer;
  const hash = createHash("sha256").update(readFileSync(transformer)).digest("hex");
  return {
    title: "The demo model on prompts it never saw",
    rows,
    notes: [
      `${scenes.length} prompts of models/demo/held-out.json, one clip each; PSNR and seconds are medians.`,
      `sha256 of the INT8 transformer: ${hash}`,
    ],
  };
}
