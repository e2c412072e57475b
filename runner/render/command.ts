// `turboclip-runner render "a prompt" -o clip.mp4`: one clip on this host, without an edge. The report goes to
// standard output, everything else to standard error, so that --json can be piped on.
import { defineCommand } from "citty";
import { refuseUnknownOptions, UsageError } from "../errors.ts";
import { fail } from "../fail.ts";
import type { Logger } from "../log.ts";
import { stopSignals } from "../signals.ts";
import { chooseModel, modelsFolder } from "./choose-model.ts";
import { readOptions } from "./options.ts";
import { ProgressDisplay } from "./progress.ts";
import { renderToFile } from "./render-file.ts";
import { type Report, toJson, toText } from "./report.ts";

const ARGUMENTS = {
  prompt: { type: "positional", required: false, description: "What the clip shows, in quotes" },
  output: { type: "string", alias: "o", description: "The MP4 to write", valueHint: "FILE" },
  poster: { type: "string", description: "Also write the middle frame as a JPEG", valueHint: "FILE" },
  model: { type: "string", description: "A model id, or a folder that holds a set of files", valueHint: "ID|DIR" },
  "models-dir": { type: "string", description: "Folder of models (TURBOCLIP_MODELS_DIR)", valueHint: "DIR" },
  size: { type: "string", description: "Width x height; the model's first size", valueHint: "832x480" },
  frames: { type: "string", description: "4 n + 1, at 16 a second; the model's usual number", valueHint: "81" },
  steps: { type: "string", description: "1 to 4; 4", valueHint: "N" },
  seed: { type: "string", description: "Same seed and settings, same clip; drawn at random", valueHint: "N" },
  sampler: { type: "string", description: "sde (default) or ode", valueHint: "sde|ode" },
  "sigma-max": { type: "string", description: "Where the noise starts; the model's", valueHint: "80" },
  attention: { type: "string", description: "sla (default) or original", valueHint: "sla|original" },
  topk: { type: "string", description: "Share of key blocks that sla keeps; the model's", valueHint: "0.1" },
  decoder: { type: "string", description: "vae (default), or taehv: quicker, a likeness", valueHint: "vae|taehv" },
  gpu: { type: "string", description: "A CUDA device by its number; cpu, the default", valueHint: "0" },
  "text-encoder": {
    type: "string",
    description: "On a card: auto (default), bf16, int8 or host",
    valueHint: "auto|bf16|int8|host",
  },
  threads: { type: "string", description: "CPU threads; 0, the default, is one a core", valueHint: "N" },
  json: { type: "boolean", description: "Print one JSON object at the end, and nothing else" },
} as const;

const OPTION_NAMES = (Object.keys(ARGUMENTS) as (keyof typeof ARGUMENTS)[]).filter((name) => name !== "prompt");

type Arguments = Readonly<Record<Exclude<keyof typeof ARGUMENTS, "json">, string | undefined>> & {
  readonly json?: boolean | undefined;
  readonly _: readonly string[];
};

function refuseMistyped(args: Arguments): void {
  refuseUnknownOptions("render", args, ["o", "modelsDir", "sigmaMax", "textEncoder", ...Object.keys(ARGUMENTS)]);
  if (args._.length > 1) {
    throw new UsageError(`${JSON.stringify(args._[1])} is too much; put the whole prompt in one pair of quotes`);
  }
  const empty = OPTION_NAMES.find((name) => args[name] === "");
  if (empty !== undefined) throw new UsageError(`--${empty} needs a value`);
}

/** Only what is wrong, in words, on standard error. */
export function plainLog(): Logger {
  const say = (fields: object | string, message = "") => {
    process.stderr.write(`turboclip-runner: ${typeof fields === "string" ? fields : message}\n`);
  };
  const log: Logger = { debug: () => {}, info: () => {}, warn: say, error: () => {}, child: () => log };
  return log;
}

async function renderAsAsked(args: Arguments): Promise<Report> {
  refuseMistyped(args);
  if (args.prompt === undefined) throw new UsageError('no prompt; give one in quotes: render "a red ball" -o ball.mp4');
  const { decoder, settingsFor } = readOptions(args.prompt, args);
  const { output: file, poster } = args;
  if (file === undefined) throw new UsageError("no output; give -o FILE, such as -o clip.mp4");
  const model = await chooseModel({ model: args.model, modelsDir: modelsFolder(args["models-dir"]), decoder });
  const settings = settingsFor(model);
  const progress = new ProgressDisplay(process.stderr);
  const { first: cancel, second: kill } = stopSignals();
  try {
    const rendered = await renderToFile({
      ...{ model, settings, file, poster, env: process.env, log: plainLog(), onProgress: progress.show },
      ...{ cancel, kill },
    });
    return { file, poster, settings, rendered };
  } finally {
    progress.clear();
  }
}

export const render = defineCommand({
  meta: { name: "render", description: "Draw one clip into a file, without an edge" },
  args: ARGUMENTS,
  async run({ args }) {
    try {
      const report = await renderAsAsked(args);
      process.stdout.write(`${args.json ? toJson(report) : toText(report)}\n`);
    } catch (error) {
      fail(error);
    }
  },
});
