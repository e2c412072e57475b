// The options of `render` as typed, checked and filled in from the model's defaults. The limits are the
// engine's, which are wider than what the service sells: any multiple of 16, up to 161 frames.
import { randomInt } from "node:crypto";
import * as z from "zod";
import type { AskedTextEncoding, Device } from "../../native/device.ts";
import { LIMITS } from "../../shared/contract/clips.ts";
import type { ClipRequest } from "../../shared/contract/runner.ts";
import { findModel, type ModelSpec, parseSize } from "../../shared/models.ts";
import { DECODERS, type Decoder, defaultSampling, type ModelOnDisk, type Sampling } from "../checkpoints/find.ts";
import { DEVICE_REMEDY, parseDevice, TEXT_ENCODING_REMEDY, TEXT_ENCODINGS } from "../engine/device.ts";
import { UsageError } from "../errors.ts";

/** What was typed after each option; undefined where nothing was. */
export type TypedOptions = Readonly<Record<OptionName, string | undefined>>;
type OptionName =
  | "size"
  | "frames"
  | "steps"
  | "seed"
  | "sampler"
  | "sigma-max"
  | "attention"
  | "topk"
  | "decoder"
  | "gpu"
  | "text-encoder"
  | "threads";

export interface RenderSettings {
  readonly request: ClipRequest;
  readonly sampling: Sampling;
  readonly device: Device;
  /** Of a card; TURBOCLIP_TEXT_ENCODER, if absent. */
  readonly textEncoding: AskedTextEncoding | undefined;
  /** CPU threads; 0 is one a core. */
  readonly threads: number;
}

const MAX_PIXELS = 1 << 20;
/** As the edge draws them. */
const MAX_DRAWN_SEED = 2 ** 32;
const DEFAULT_STEPS = 4;

const number = z
  .string()
  .regex(/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i)
  .transform(Number);
const whole = number.pipe(z.int());
const side = z.int().min(16).max(2_048).multipleOf(16);

/** How an option is read, and what to give instead when it cannot be. */
interface Check<T> {
  readonly schema: z.ZodType<T, string>;
  readonly remedy: string;
}

function check<T>(schema: z.ZodType<T, string>, remedy: string): Check<T> {
  return { schema, remedy };
}

const CHECKS = {
  size: check(
    z
      .string()
      .regex(/^\d{1,5}x\d{1,5}$/)
      .transform((text) => text.split("x").map(Number))
      .pipe(z.tuple([side, side]))
      .refine(([width, height]) => width * height <= MAX_PIXELS),
    `WIDTHxHEIGHT like 832x480, each a multiple of 16 up to 2048, together at most ${MAX_PIXELS} pixels`,
  ),
  frames: check(
    whole.pipe(z.int().min(1).max(161)).refine((n) => n % 4 === 1),
    "4 n + 1, from 1 to 161 (81 is 5 seconds)",
  ),
  steps: check(whole.pipe(z.int().min(1).max(4)), "1, 2, 3 or 4"),
  seed: check(whole.pipe(z.int().min(0)), `a whole number from 0 to ${Number.MAX_SAFE_INTEGER}`),
  sampler: check(z.enum(["sde", "ode"]), "sde or ode"),
  sigmaMax: check(number.pipe(z.number().positive().max(1_000_000)), "a number above 0 and up to 1000000, such as 80"),
  attention: check(z.enum(["sla", "original"]), "sla (sparse) or original (all of it)"),
  topk: check(
    number.pipe(z.number().positive().max(1)),
    "a number above 0 and up to 1 (0.1 for speed, 0.15 for quality)",
  ),
  decoder: check(z.enum(DECODERS), "vae or taehv (quicker, in less memory, a likeness)"),
  gpu: check(
    z
      .string()
      .transform(parseDevice)
      .pipe(z.union([z.literal("cpu"), z.int()])),
    DEVICE_REMEDY,
  ),
  "text-encoder": check(z.enum(TEXT_ENCODINGS), TEXT_ENCODING_REMEDY),
  threads: check(whole.pipe(z.int().min(0).max(1_024)), "a number of threads up to 1024; 0 is one a core"),
} as const;

/** Throws a UsageError that names the value and the remedy. */
function read<T>(typed: TypedOptions, name: OptionName, { schema, remedy }: Check<T>): T | undefined {
  const text = typed[name];
  if (text === undefined) return undefined;
  const parsed = schema.safeParse(text);
  if (!parsed.success) throw new UsageError(`--${name} is ${JSON.stringify(text)}; give ${remedy}`);
  return parsed.data;
}

function checkPrompt(prompt: string): string {
  if (prompt.trim() === "") throw new UsageError("the prompt is empty; say what the clip shows, in quotes");
  if (prompt.length > LIMITS.promptCharacters) {
    throw new UsageError(
      `the prompt has ${prompt.length} characters; give at most ${LIMITS.promptCharacters}, of which the model reads 512 tokens`,
    );
  }
  return prompt;
}

export interface ReadOptions {
  /** What has to be known before the model is looked for. */
  readonly decoder: Decoder;
  readonly settingsFor: (model: ModelOnDisk) => RenderSettings;
}

/** Options that are wrong are told before a model is looked for. */
export function readOptions(prompt: string, typed: TypedOptions): ReadOptions {
  const checked = checkPrompt(prompt);
  const size = read(typed, "size", CHECKS.size);
  const frames = read(typed, "frames", CHECKS.frames);
  const steps = read(typed, "steps", CHECKS.steps) ?? DEFAULT_STEPS;
  const seed = read(typed, "seed", CHECKS.seed) ?? randomInt(MAX_DRAWN_SEED);
  const sampler = read(typed, "sampler", CHECKS.sampler) ?? "sde";
  const sigmaMax = read(typed, "sigma-max", CHECKS.sigmaMax);
  const attention = read(typed, "attention", CHECKS.attention);
  const topkRatio = read(typed, "topk", CHECKS.topk);
  const decoder = read(typed, "decoder", CHECKS.decoder) ?? "vae";
  const device = read(typed, "gpu", CHECKS.gpu) ?? "cpu";
  const textEncoding = read(typed, "text-encoder", CHECKS["text-encoder"]);
  if (device === "cpu" && (textEncoding === "bf16" || textEncoding === "int8")) {
    throw new UsageError(`--text-encoder ${textEncoding} needs a card; give --gpu 0, or leave it out`);
  }
  const threads = read(typed, "threads", CHECKS.threads) ?? 0;
  const settingsFor = (model: ModelOnDisk): RenderSettings => {
    const spec = findModel(model.id);
    if (spec === undefined) throw new UsageError(`${model.id} is not a model of this version`);
    const [width, height] = size ?? defaultSize(spec);
    const usual = defaultSampling(model);
    return {
      request: {
        ...{ model: model.id, prompt: checked, width, height },
        ...{ frames: frames ?? spec.defaultFrames, steps, sampler, seed },
      },
      sampling: {
        sigmaMax: sigmaMax ?? usual.sigmaMax,
        attention: attention ?? usual.attention,
        topkRatio: topkRatio ?? usual.topkRatio,
        decoder,
      },
      device,
      textEncoding,
      threads,
    };
  };
  return { decoder, settingsFor };
}

function defaultSize({ id, sizes }: ModelSpec): readonly [number, number] {
  const [first] = sizes;
  if (first === undefined) throw new UsageError(`${id} has no usual size; give --size`);
  const { width, height } = parseSize(first);
  return [width, height];
}
