// The runner's settings, from the environment, checked before anything starts; a message names the variable.
import * as z from "zod";
import type { Device } from "../../native/device.ts";
import { idSchema } from "../../shared/ids.ts";
import { DECODERS, type Decoder } from "../checkpoints/find.ts";
import { DEVICE_REMEDY, parseDevice, TEXT_ENCODING_REMEDY, TEXT_ENCODINGS } from "../engine/device.ts";
import { LOG_LEVELS } from "../log.ts";

const LOOPBACK = new Set(["127.0.0.1", "[::1]", "localhost"]);

const MAX_ENGINES = 16;
const DEVICES_REMEDY =
  `must name a device for each engine, like "0,1" or "cpu,cpu": ${DEVICE_REMEDY}; not both kinds in one ` +
  `runner, since a clip's record names one engine, and at most ${MAX_ENGINES}`;

/** A device for each engine; an engine is a process with a model of its own. */
const devicesSchema = z
  .string()
  .transform((list) => list.split(",").map((name) => parseDevice(name.trim())))
  .pipe(z.array(z.union([z.literal("cpu"), z.int()], DEVICES_REMEDY)).max(MAX_ENGINES, DEVICES_REMEDY))
  .refine((devices) => new Set(devices.map((device) => typeof device)).size === 1, { error: DEVICES_REMEDY });

const settingsSchema = z.object({
  TURBOCLIP_EDGE_URL: z
    .url({ protocol: /^https?$/, error: "must be the edge's origin, like https://api.example.com" })
    .refine((url) => url.startsWith("https:") || LOOPBACK.has(new URL(url).hostname), {
      error: "must be https, except on this machine: the runner's token travels with every request",
    })
    .transform((url) => new URL(url).origin),
  TURBOCLIP_RUNNER_ID: z.string("must be the runner's id").pipe(idSchema("runner")),
  TURBOCLIP_RUNNER_TOKEN: z
    .string("must be the runner's token")
    .regex(/^tcr_\S{1,400}$/, "must be the runner's token, which begins with tcr_"),
  TURBOCLIP_MODELS_DIR: z
    .string("must be the folder that holds the models")
    .min(1, "must be the folder that holds the models"),
  TURBOCLIP_GPUS: devicesSchema.prefault("cpu"),
  TURBOCLIP_THREADS: z.coerce
    .number("must be a number of threads; 0 is one a core")
    .pipe(z.int("must be a whole number of threads").min(0).max(1_024))
    .default(0),
  TURBOCLIP_DECODER: z.enum(DECODERS, "must be vae or taehv").default("vae"),
  // The engine process reads it; here it is only checked before anything starts.
  TURBOCLIP_TEXT_ENCODER: z.enum(TEXT_ENCODINGS, `must be ${TEXT_ENCODING_REMEDY}`).optional(),
  TURBOCLIP_WORK_DIR: z.string().min(1).optional(),
  TURBOCLIP_LOG_LEVEL: z.enum(LOG_LEVELS).default("info"),
  FFMPEG_PATH: z.string().min(1).optional(),
});

export interface Settings {
  readonly edgeOrigin: string;
  readonly runnerId: z.infer<ReturnType<typeof idSchema<"runner">>>;
  readonly token: string;
  readonly modelsDir: string;
  readonly devices: readonly Device[];
  /** CPU threads of all engines together; 0 is one a core. */
  readonly threads: number;
  readonly decoder: Decoder;
  readonly workDir: string | undefined;
  readonly logLevel: (typeof LOG_LEVELS)[number];
  readonly ffmpegPath: string | undefined;
}

/** The message has a line for each variable that is wrong, and never its value: one of them is a secret. */
export class SettingsError extends Error {}

/** Of TURBOCLIP_GPUS alone, for a host whose other settings are not there yet. */
export function readDevices(env: NodeJS.ProcessEnv): readonly Device[] {
  const parsed = devicesSchema.safeParse(env.TURBOCLIP_GPUS || "cpu");
  if (parsed.success) return parsed.data;
  throw new SettingsError(`TURBOCLIP_GPUS ${DEVICES_REMEDY}`);
}

/** An empty variable counts as absent. */
export function readSettings(env: NodeJS.ProcessEnv): Settings {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ""));
  const parsed = settingsSchema.safeParse(given);
  if (!parsed.success) {
    const lines = parsed.error.issues.map((issue) => {
      const name = String(issue.path[0]);
      return `${name} ${given[name] === undefined ? "is not set: it " : ""}${issue.message}`;
    });
    throw new SettingsError(lines.join("\n"));
  }
  const settings = parsed.data;
  return {
    edgeOrigin: settings.TURBOCLIP_EDGE_URL,
    runnerId: settings.TURBOCLIP_RUNNER_ID,
    token: settings.TURBOCLIP_RUNNER_TOKEN,
    modelsDir: settings.TURBOCLIP_MODELS_DIR,
    devices: settings.TURBOCLIP_GPUS,
    threads: settings.TURBOCLIP_THREADS,
    decoder: settings.TURBOCLIP_DECODER,
    workDir: settings.TURBOCLIP_WORK_DIR,
    logLevel: settings.TURBOCLIP_LOG_LEVEL,
    ffmpegPath: settings.FFMPEG_PATH,
  };
}
