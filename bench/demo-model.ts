// How well the demo model draws prompts that it never saw: with full and sparse attention, in float and INT8, in 4, 2
// and 1 steps, on the CPU engine.
//   npm run bench -- demo-model      (half an hour on two cores; a run that was stopped goes on where it was)
// TURBOCLIP_DEMO_FLOAT: the float transformer that the shipped INT8 one was made from, which training leaves in
// build/demo-trained and which is too large to ship. Without it the INT8 rows alone are made.
import { createHash } from "node:crypto";
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import * as z from "zod";
import { AIMS } from "../models/demo/aims.ts";
import { drawScene, type Settings } from "../models/demo/judge/draw.ts";
import { tally } from "../models/demo/judge/judge.ts";
import { readManifest, type Scene } from "../models/demo/judge/world.ts";
import { DEMO_FILES, DEMO_SPEC, sha256 } from "../models/demo/shipped.ts";
import { ADDON_PATH } from "../native/addon.ts";
import { Engine } from "../native/index.ts";
import { quantizeCheckpoint } from "../native/quantize.ts";
import { loadTokenizer } from "../runner/text/tokenizer.ts";
import { percentile, type Result, type Row } from "./table.ts";

const ROOT = resolve(import.meta.dirname, "..");
const MANIFEST = join(ROOT, "models/demo/held-out.json");
const JUDGE = join(ROOT, "models/demo/judge");
const AIM_SECONDS = 15;

interface Run {
  readonly weights: "float" | "INT8";
  readonly attention: Settings["attention"];
  readonly steps: number;
}
/** The first that is drawn is what the others are compared with. */
const RUNS: readonly Run[] = [
  { weights: "float", attention: "original", steps: 4 },
  { weights: "float", attention: "sla", steps: 4 },
  { weights: "INT8", attention: "original", steps: 4 },
  { weights: "INT8", attention: "sla", steps: 4 },
  { weights: "INT8", attention: "sla", steps: 2 },
  { weights: "INT8", attention: "sla", steps: 1 },
];

/** What is kept of a clip. */
const drawnSchema = z.object({
  verdict: z.object({ colour: z.boolean(), background: z.boolean(), motion: z.boolean() }),
  seconds: z.number(),
  /** dB against the first run's clip of the same scene. */
  near: z.number(),
});
type Drawn = z.infer<typeof drawnSchema>;

/** dB between two clips of 8 bits. */
function psnr(a: Buffer, b: Buffer): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += ((a[i] ?? 0) - (b[i] ?? 0)) ** 2;
  return 10 * Math.log10(255 ** 2 / Math.max(sum / a.length, 1e-3));
}

/** Throws unless the shipped transformer is what the quantiser makes of this file. */
async function checkFloat(file: string): Promise<void> {
  mkdirSync(join(ROOT, "build"), { recursive: true });
  const folder = mkdtempSync(join(ROOT, "build/demo-float-"));
  try {
    const twin = join(folder, basename(DEMO_FILES.transformer));
    const options = { replace: false, onProgress: () => {}, signal: new AbortController().signal };
    await quantizeCheckpoint(file, twin, options);
    if (sha256(twin) !== sha256(DEMO_FILES.transformer)) {
      throw new Error(`${DEMO_FILES.transformer} was not made from ${file}; name its float twin or none`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Draws a scene in every run and keeps the result in the file, unless it is there already. */
async function drawAll(
  scenes: readonly Scene[],
  runs: readonly Run[],
  float: string | undefined,
  file: string,
): Promise<Drawn[][]> {
  const lines = existsSync(file) ? readFileSync(file, "utf8").split("\n").slice(0, -1) : [];
  const kept = lines.map((line) => z.array(drawnSchema).parse(JSON.parse(line)));
  const tokenizer = await loadTokenizer(DEMO_FILES.tokenizer);
  const engines = {
    INT8: await Engine.load(DEMO_FILES),
    float: float === undefined ? undefined : await Engine.load({ ...DEMO_FILES, transformer: float }),
  };
  const { topkRatio, sigmaMax } = DEMO_SPEC;
  for (const [seed, scene] of scenes.entries()) {
    if (seed < kept.length) continue;
    const row: Drawn[] = [];
    let first: Buffer | undefined;
    for (const { weights, attention, steps } of runs) {
      const engine = engines[weights];
      if (engine === undefined) throw new Error(`no ${weights} transformer`);
      const { frames, ...rest } = await drawScene(engine, tokenizer, scene, {
        ...{ attention, steps, topkRatio, sigmaMax, seed },
      });
      first ??= frames;
      row.push({ ...rest, near: psnr(frames, first) });
    }
    appendFileSync(file, `${JSON.stringify(row)}\n`);
    kept.push(row);
    process.stderr.write(`${kept.length} of ${scenes.length} scenes\n`);
  }
  for (const engine of Object.values(engines)) engine?.free();
  return kept;
}

function tableRow({ weights, attention, steps }: Run, drawn: readonly Drawn[], isFirst: boolean): Row {
  const { of, colour, background, motion } = tally(drawn.map(({ verdict }) => verdict));
  const median = (value: (clip: Drawn) => number) => percentile(drawn.map(value), 0.5).toFixed(1);
  const near = isFirst ? "" : `${median((clip) => clip.near)} dB; `;
  const what = `${weights}, ${attention === "sla" ? "SLA" : "full attention"}, ${steps} step${steps > 1 ? "s" : ""}`;
  const right = `colour ${colour}, background ${background}, motion ${motion} of ${of}`;
  return {
    what,
    measured: `${right}; ${near}${median((clip) => clip.seconds)} s`,
    aim: `${AIMS.colour}, ${AIMS.background}, ${AIMS.motion} of ${AIMS.of}; under ${AIM_SECONDS} s`,
  };
}

export async function demoModel(): Promise<Result> {
  const float = process.env.TURBOCLIP_DEMO_FLOAT;
  if (float !== undefined) await checkFloat(float);
  const runs = RUNS.filter(({ weights }) => weights === "INT8" || float !== undefined);
  const scenes = readManifest(MANIFEST);
  const hashes = Object.values(DEMO_FILES).map((file) => `${sha256(file)}  ${basename(file)}`);
  if (float !== undefined) hashes.push(`${sha256(float)}  ${basename(float)}`);
  // What was drawn by other weights, another engine or another judge is not gone on with.
  const judge = readdirSync(JUDGE).map((name) => join(JUDGE, name));
  const sources = [...Object.values(DEMO_FILES), MANIFEST, ADDON_PATH, ...judge.toSorted()];
  const key = createHash("sha256")
    .update(`${runs.length} ${sources.map(sha256).join(" ")}`)
    .digest("hex");
  const folder = join(ROOT, "build/bench");
  mkdirSync(folder, { recursive: true });
  const drawn = await drawAll(scenes, runs, float, join(folder, `demo-model-${key.slice(0, 16)}.jsonl`));
  const rows = runs.map((run, r) =>
    tableRow(
      run,
      drawn.flatMap((row) => row[r] ?? []),
      r === 0,
    ),
  );
  return {
    title: "The demo model on prompts it never saw",
    rows,
    notes: [
      `${scenes.length} prompts of models/demo/held-out.json, one clip each, its place in the list for a seed. dB are ` +
        "against the first row's clips; they and the engine's seconds are medians.",
      ["The set that drew them, by SHA-256:", "", "```", ...hashes, "```"].join("\n"),
    ],
  };
}
