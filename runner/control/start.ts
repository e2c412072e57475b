// Puts a runner together from its settings, checks what can be checked before the first clip, runs it until
// it is drained, and cleans up.
import { availableParallelism } from "node:os";
import { Agent } from "undici";
import { DEFAULT_LEASE_TIMES } from "../../shared/contract/runner.ts";
import { describeMissing, findModels, type ModelOnDisk } from "../checkpoints/find.ts";
import { deviceName, engineEnv } from "../engine/device.ts";
import { ENGINE_ENTRY, EngineHost } from "../engine/host.ts";
import { type Logger, makeLogger } from "../log.ts";
import { readVersion } from "../version.ts";
import type { AttemptTimes } from "./attempt.ts";
import { systemClock } from "./clock.ts";
import { EdgeClient } from "./edge-client.ts";
import { DEFAULT_RUNNER_TIMES, runRunner, type StopSignals } from "./runner.ts";
import type { Settings } from "./settings.ts";
import { WorkFolder } from "./work-folder.ts";

/** What the person at the host has to mend before the runner can start. */
export class StartError extends Error {}

const CONNECT_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 30_000;

const DEFAULT_ATTEMPT_TIMES: AttemptTimes = {
  heartbeatMs: DEFAULT_LEASE_TIMES.heartbeatMs,
  newsMs: 200,
  retryMs: 250,
  maxRetryMs: 5_000,
  giveUpMs: 900_000,
};

/** Resolves when drained; rejects with a StartError, or NotAdmittedError from the first poll. */
export async function startRunner(settings: Settings, stop: StopSignals): Promise<void> {
  const log = makeLogger(settings.logLevel, { runner: settings.runnerId });
  const models = await requireModels(settings);
  const engines = startEngines(settings, log);
  const dispatcher = new Agent({
    connect: { timeout: CONNECT_TIMEOUT_MS },
    keepAliveTimeout: KEEP_ALIVE_MS,
  });
  let workFolder: WorkFolder | undefined;
  // Told to stop while it is still starting: no model is worth waiting for.
  const giveUp = () => void stopAll(engines);
  stop.drain.addEventListener("abort", giveUp, { once: true });
  try {
    const [first] = await Promise.all(engines.map((engine) => engine.whenReady()));
    const engineName = `${first?.backend}/${readVersion()}${settings.decoder === "taehv" ? "+taehv" : ""}`;
    // One after the other: each plans by the memory that the ones before have left.
    for (const [index, engine] of engines.entries()) await loadFirst(engine, index, models, log);
    stop.drain.removeEventListener("abort", giveUp);
    workFolder = await WorkFolder.open(settings.workDir);
    const edge = new EdgeClient({ origin: settings.edgeOrigin, token: settings.token, dispatcher });
    await runRunner(
      {
        ...{ edge, dispatcher, engines, workFolder, log, engineName },
        models: new Map(models.map((model) => [model.id, model])),
        clock: systemClock,
        random: Math.random,
        times: DEFAULT_ATTEMPT_TIMES,
        privateFolders: [settings.modelsDir, workFolder.path],
        runnerId: settings.runnerId,
        version: readVersion(),
        devices: settings.devices.map(deviceName),
        runnerTimes: DEFAULT_RUNNER_TIMES,
      },
      stop,
    );
    log.info({}, "drained");
  } catch (error) {
    if (workFolder !== undefined || !stop.drain.aborted) throw error;
    log.info({}, "stopped before it had started");
  } finally {
    await stopAll(engines);
    await workFolder?.remove();
    await dispatcher.destroy();
  }
}

/** A process for each device. They share the host's threads out among them: on a card, too, some stages compute there. */
function startEngines({ devices, threads }: Settings, log: Logger): readonly EngineHost[] {
  const single = devices.length === 1;
  const each = single ? threads : Math.max(1, Math.floor((threads || availableParallelism()) / devices.length));
  return devices.map((device, index) => {
    const env = engineEnv(process.env, device, each);
    return new EngineHost({ entry: ENGINE_ENTRY, env, log: single ? log : log.child({ engine: index }) });
  });
}

async function stopAll(engines: readonly EngineHost[]): Promise<void> {
  await Promise.all(engines.map((engine) => engine.stop()));
}

async function requireModels({ modelsDir, decoder }: Settings): Promise<readonly ModelOnDisk[]> {
  const search = await findModels(modelsDir, decoder);
  if (search.found.length > 0) return search.found;
  throw new StartError(`TURBOCLIP_MODELS_DIR holds no complete model:\n${describeMissing(modelsDir, search)}`);
}

/** Reading the first model now shows a broken checkpoint at start, and saves the first clip the wait. */
async function loadFirst(
  engine: EngineHost,
  index: number,
  models: readonly ModelOnDisk[],
  log: Logger,
): Promise<void> {
  const [first] = models;
  if (first === undefined) return;
  const outcome = await engine.load(first);
  if (outcome.kind === "failed") {
    const which = index === 0 ? "" : ` by engine ${index + 1} of TURBOCLIP_GPUS`;
    throw new StartError(`${first.id} cannot be loaded${which}: ${outcome.failure.message}`);
  }
  log.info({ model: first.id, engine: index }, "model is loaded");
}
