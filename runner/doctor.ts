// `turboclip-runner doctor`: says in plain words what this host has and lacks. Each check does the real thing.
import type { Device } from "../native/device.ts";
import { describeMissing, findModels, type ModelOnDisk } from "./checkpoints/find.ts";
import { readDevices, readSettings, SettingsError } from "./control/settings.ts";
import { deviceName, engineEnv } from "./engine/device.ts";
import { ENGINE_ENTRY, EngineHost, type ReadyEngine } from "./engine/host.ts";
import { makeLogger } from "./log.ts";
import { findFfmpeg } from "./media/locate.ts";

export interface Finding {
  readonly what: string;
  readonly ok: boolean;
  readonly says: string;
}

async function check(what: string, look: () => Promise<string> | string): Promise<Finding> {
  try {
    return { what, ok: true, says: await look() };
  } catch (error) {
    return { what, ok: false, says: error instanceof Error ? error.message : String(error) };
  }
}

function checkSettings(env: NodeJS.ProcessEnv): string {
  const { edgeOrigin, runnerId } = readSettings(env);
  return `${runnerId} at ${edgeOrigin}`;
}

async function checkModels(env: NodeJS.ProcessEnv): Promise<readonly ModelOnDisk[]> {
  const decoder = env.TURBOCLIP_DECODER === "taehv" ? "taehv" : "vae";
  const folder = env.TURBOCLIP_MODELS_DIR;
  if (!folder) throw new SettingsError("TURBOCLIP_MODELS_DIR is not set: it must be the folder that holds the models");
  const search = await findModels(folder, decoder);
  if (search.found.length === 0) throw new Error(`no complete model\n${describeMissing(folder, search)}`);
  return search.found;
}

/** The engine process as the runner starts it on the device, and each model that is there loaded into it once. */
async function checkEngine(
  env: NodeJS.ProcessEnv,
  device: Device,
  models: readonly ModelOnDisk[],
): Promise<readonly Finding[]> {
  const engine = startEngine(env, device);
  const where = device === "cpu" ? "" : ` on ${deviceName(device)}`;
  try {
    const started = await check(`engine${where}`, async () => describeEngine(await engine.whenReady()));
    if (!started.ok) return [started];
    const loaded: Finding[] = [];
    for (const model of models) {
      const finding = await check(`model ${model.id}${where}`, async () => {
        const outcome = await engine.load(model);
        if (outcome.kind === "failed") throw new Error(outcome.failure.message);
        if (outcome.kind !== "loaded" || outcome.plan === undefined) return "loads";
        return `loads; ${outcome.plan}`;
      });
      loaded.push(finding);
    }
    return [started, ...loaded];
  } finally {
    await engine.stop();
  }
}

function startEngine(env: NodeJS.ProcessEnv, device: Device): EngineHost {
  const settings = engineEnv(env, device, Number(env.TURBOCLIP_THREADS || 0));
  return new EngineHost({ entry: ENGINE_ENTRY, env: settings, log: makeLogger("error", {}) });
}

function describeEngine({ backend, device }: ReadyEngine): string {
  return device === undefined ? `${backend} backend` : `${backend} backend: ${device}; its self-test passed`;
}

/** Whether a card could be used where none is asked for. */
async function lookForCard(env: NodeJS.ProcessEnv): Promise<Finding> {
  const engine = startEngine(env, 0);
  try {
    const { says } = await check("cuda", async () => `${describeEngine(await engine.whenReady())}; --gpus 0 uses it`);
    return { what: "cuda", ok: true, says };
  } finally {
    await engine.stop();
  }
}

async function checkEngines(env: NodeJS.ProcessEnv, models: readonly ModelOnDisk[]): Promise<Finding[]> {
  const findings: Finding[] = [];
  let devices: readonly Device[] = [];
  const named = await check("devices", () => {
    devices = readDevices(env);
    return devices.map(deviceName).join(", ");
  });
  findings.push(named);
  for (const device of new Set(devices)) findings.push(...(await checkEngine(env, device, models)));
  if (devices.includes("cpu")) findings.push(await lookForCard(env));
  return findings;
}

export async function examine(env: NodeJS.ProcessEnv): Promise<Finding[]> {
  let models: readonly ModelOnDisk[] = [];
  return [
    await check("settings", () => checkSettings(env)),
    await check("ffmpeg", async () => {
      const { path, version, encoder } = await findFfmpeg(env);
      return `${version} at ${path}, encodes with ${encoder}`;
    }),
    await check("models", async () => {
      models = await checkModels(env);
      return models.map((model) => model.id).join(", ");
    }),
    ...(await checkEngines(env, models)),
  ];
}
