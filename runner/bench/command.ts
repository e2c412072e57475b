// `turboclip-runner bench`: how long each stage of a clip takes on this host, by the runner's own engine process. The
// table goes to standard output, progress to standard error.
import { defineCommand } from "citty";
import { refuseUnknownOptions, UsageError } from "../errors.ts";
import { fail } from "../fail.ts";
import { chooseModel, modelsFolder } from "../render/choose-model.ts";
import { plainLog } from "../render/command.ts";
import { readOptions } from "../render/options.ts";
import { stopSignals } from "../signals.ts";
import { measure } from "./measure.ts";
import { type BenchReport, toJson, toMarkdown } from "./table.ts";

/** A prompt of the usual length, so that the text encoder has the usual work. */
const PROMPT =
  "A red ball bounces across a wide green field under a blue sky, the camera follows it slowly from the left, soft " +
  "evening light, long shadows, sharp detail, a quiet mood";
const DEFAULT_CLIPS = 10;
const MAX_CLIPS = 1_000;

const ARGUMENTS = {
  prompt: {
    type: "positional",
    required: false,
    description: "What the clips show; one of the usual length if absent",
  },
  model: { type: "string", description: "A model id, or a folder that holds a set of files", valueHint: "ID|DIR" },
  "models-dir": { type: "string", description: "Folder of models (TURBOCLIP_MODELS_DIR)", valueHint: "DIR" },
  size: { type: "string", description: "Width x height; the model's first size", valueHint: "832x480" },
  frames: { type: "string", description: "4 n + 1, at 16 a second; the model's usual number", valueHint: "81" },
  steps: { type: "string", description: "1 to 4; 4", valueHint: "N" },
  decoder: { type: "string", description: "vae (default), or taehv: quicker, a likeness", valueHint: "vae|taehv" },
  gpu: { type: "string", description: "A CUDA device by its number; cpu, the default", valueHint: "0" },
  threads: { type: "string", description: "CPU threads; 0, the default, is one a core", valueHint: "N" },
  clips: { type: "string", description: `Clips back to back, after a first and a warm one; ${DEFAULT_CLIPS}` },
  json: { type: "boolean", description: "Print one JSON object instead of the table" },
} as const;

type Arguments = Readonly<Record<Exclude<keyof typeof ARGUMENTS, "json">, string | undefined>> & {
  readonly json?: boolean | undefined;
  readonly _: readonly string[];
};

function readClips(typed: string | undefined): number {
  if (typed === undefined) return DEFAULT_CLIPS;
  if (/^\d{1,4}$/.test(typed) && Number(typed) <= MAX_CLIPS) return Number(typed);
  throw new UsageError(`--clips is ${JSON.stringify(typed)}; give a number of clips up to ${MAX_CLIPS}, 0 for none`);
}

async function benchAsAsked(args: Arguments): Promise<BenchReport> {
  refuseUnknownOptions("bench", args, ["modelsDir", ...Object.keys(ARGUMENTS)]);
  const free = { sampler: undefined, "sigma-max": undefined, attention: undefined, topk: undefined };
  const typed = { ...free, seed: "1", "text-encoder": undefined }; // TURBOCLIP_TEXT_ENCODER says
  const { decoder, settingsFor } = readOptions(args.prompt ?? PROMPT, { ...typed, ...args });
  const clips = readClips(args.clips);
  const model = await chooseModel({ model: args.model, modelsDir: modelsFolder(args["models-dir"]), decoder });
  const settings = settingsFor(model);
  const { first: cancel } = stopSignals();
  const onClip = (done: number, of: number) => process.stderr.write(`clip ${done} of ${of}\n`);
  const measured = await measure({ model, settings, clips, env: process.env, log: plainLog(), onClip, cancel });
  return { settings, measured };
}

export const bench = defineCommand({
  meta: { name: "bench", description: "Time each stage of a clip on this host" },
  args: ARGUMENTS,
  async run({ args }) {
    try {
      const report = await benchAsAsked(args);
      process.stdout.write(`${args.json ? toJson(report) : toMarkdown(report)}\n`);
    } catch (error) {
      fail(error);
    }
  },
});
