// The whole control side with the stand-in engine process, against the edge double, with short waits.
import { Agent } from "undici";
import { systemClock } from "../../../runner/control/clock.ts";
import { EdgeClient } from "../../../runner/control/edge-client.ts";
import { type RunnerTimes, type RunnerTools, runRunner } from "../../../runner/control/runner.ts";
import { WorkFolder } from "../../../runner/control/work-folder.ts";
import type { EngineHost } from "../../../runner/engine/host.ts";
import { makeId } from "../../../shared/ids.ts";
import type { EdgeDouble } from "./edge-double.ts";
import { fakeEngineHost, fakeModel, LogBook, type TestFolder } from "./host.ts";

export interface RunningRunner {
  readonly engine: EngineHost;
  readonly engines: readonly EngineHost[];
  readonly workFolder: WorkFolder;
  readonly log: LogBook;
  readonly drain: AbortController;
  readonly release: AbortController;
  /** Settles when the runner has drained. */
  readonly done: Promise<void>;
  /** Lets go of everything at once. */
  stop(): Promise<void>;
}

export interface RunnerOptions {
  readonly edge: EdgeDouble;
  readonly folder: TestFolder;
  /** One if absent. */
  readonly engineCount?: number;
  readonly giveUpMs?: number;
  readonly heartbeatMs?: number;
  readonly runnerTimes?: Partial<RunnerTimes>;
  /** Stands in for the one that is found. */
  readonly ffmpeg?: string;
}

export async function startTestRunner({
  edge,
  folder,
  engineCount = 1,
  giveUpMs = 60_000,
  heartbeatMs = 50,
  runnerTimes,
  ffmpeg,
}: RunnerOptions): Promise<RunningRunner> {
  const log = new LogBook();
  const modelsDir = await folder.fresh("models");
  const model = await fakeModel(modelsDir);
  const engine = fakeEngineHost({ log, ffmpeg });
  const engines = [engine, ...Array.from({ length: engineCount - 1 }, () => fakeEngineHost({ log, ffmpeg }))];
  const dispatcher = new Agent();
  const workFolder = await WorkFolder.open(await folder.fresh("work"));
  const tools: RunnerTools = {
    ...{ engines, dispatcher, workFolder, log: log.logger(), clock: systemClock, random: Math.random },
    edge: new EdgeClient({ origin: edge.origin, token: edge.token, dispatcher }),
    models: new Map([[model.id, model]]),
    times: { heartbeatMs, newsMs: 1, retryMs: 2, maxRetryMs: 20, giveUpMs },
    engineName: "fake/0.1.0",
    privateFolders: [modelsDir, workFolder.path],
    runnerId: makeId("runner", 1_700_000_000_000, new Uint8Array(10)),
    version: "0.1.0",
    devices: ["cpu"],
    runnerTimes: { pollWaitS: 25, pollRetryMs: 2, maxPollRetryMs: 20, drainMs: 60_000, ...runnerTimes },
  };
  const drain = new AbortController();
  const release = new AbortController();
  const done = runRunner(tools, { drain: drain.signal, release: release.signal });
  done.catch(() => {}); // the tests look at it
  return {
    ...{ engine, engines, workFolder, log, drain, release, done },
    async stop() {
      drain.abort();
      release.abort();
      await done.catch(() => {});
      await Promise.all(engines.map((one) => one.stop()));
      await dispatcher.destroy();
    },
  };
}
