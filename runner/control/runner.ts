// The control loop: ask the edge for a clip, do it, ask again. Draining ends it between clips; a clip that
// does not end in time, or a second signal, is handed back.
import { randomUUID } from "node:crypto";
import type { Claim } from "../../shared/contract/runner.ts";
import type { RunnerId } from "../../shared/ids.ts";
import type { EngineHost } from "../engine/host.ts";
import { type AttemptTools, ReleaseRequested, runAttempt } from "./attempt.ts";
import { Backoff } from "./clock.ts";
import { EdgeError, reasonOf } from "./edge-client.ts";

export interface RunnerTimes {
  readonly pollWaitS: number;
  readonly pollRetryMs: number;
  readonly maxPollRetryMs: number;
  /** How long a drain waits for the running clip. */
  readonly drainMs: number;
}

export const DEFAULT_RUNNER_TIMES: RunnerTimes = {
  pollWaitS: 25,
  pollRetryMs: 500,
  maxPollRetryMs: 10_000,
  drainMs: 120_000,
};

export interface RunnerTools extends Omit<AttemptTools, "engine"> {
  readonly engine: Pick<EngineHost, "render" | "whenReady" | "loadedModel">;
  readonly runnerId: RunnerId;
  readonly version: string;
  readonly runnerTimes: RunnerTimes;
}

export interface StopSignals {
  /** Take no more clips. */
  readonly drain: AbortSignal;
  /** Hand back the clip that runs, too. */
  readonly release: AbortSignal;
}

/** The edge knows neither this runner nor its token: nothing here can mend that. */
export class NotAdmittedError extends Error {}

/** An empty answer sooner than this was not a parked poll, so the next one waits a little. */
const SUSPICIOUSLY_SOON_MS = 500;

/** Resolves when drained. Throws NotAdmittedError if the very first poll is refused. */
export async function runRunner(tools: RunnerTools, stop: StopSignals): Promise<void> {
  const drained = new AbortController();
  const release = releaseAfterDrain(tools, stop, drained.signal);
  const poller = new Poller(tools, stop.drain);
  const { pollRetryMs, maxPollRetryMs } = tools.runnerTimes;
  const failures = new Backoff(pollRetryMs, maxPollRetryMs, tools.random);
  try {
    while (!stop.drain.aborted) {
      const claim = await poller.next();
      if (claim === undefined) break;
      const end = await runAttempt(tools, claim, release);
      // A host that has gone bad (a full disk, a dying card) must not use up the attempts of the whole queue.
      if (end === "failed") await tools.clock.sleep(failures.next(), stop.drain);
      else failures.reset();
    }
  } finally {
    drained.abort(); // a timer that still waited would keep the process alive
  }
}

/** Aborts when told to, or when draining has taken too long; watches no longer than until it is done. */
function releaseAfterDrain(
  { clock, runnerTimes }: RunnerTools,
  { drain, release }: StopSignals,
  drained: AbortSignal,
): AbortSignal {
  const controller = new AbortController();
  const give = () => controller.abort(new ReleaseRequested("the runner is stopping"));
  const watch = async () => {
    await clock.sleep(runnerTimes.drainMs, AbortSignal.any([release, drained]));
    give();
  };
  onAbort(release, give);
  onAbort(drain, () => void watch());
  return controller.signal;
}

function onAbort(signal: AbortSignal, act: () => void): void {
  if (signal.aborted) act();
  else signal.addEventListener("abort", act, { once: true });
}

class Poller {
  readonly #tools: RunnerTools;
  readonly #drain: AbortSignal;
  readonly #backoff: Backoff;
  /** Kept while an answer may have been lost: the edge then gives the same claim again. */
  #nonce: string | undefined;
  #admitted = false;

  constructor(tools: RunnerTools, drain: AbortSignal) {
    this.#tools = tools;
    this.#drain = drain;
    const { pollRetryMs, maxPollRetryMs } = tools.runnerTimes;
    this.#backoff = new Backoff(pollRetryMs, maxPollRetryMs, tools.random);
  }

  /** The next claim; undefined when draining has begun. Asks only while the engine is ready to work. */
  async next(): Promise<Claim | undefined> {
    const { clock, engine } = this.#tools;
    while (!this.#drain.aborted) {
      await unlessAborted(engine.whenReady(), this.#drain);
      if (this.#drain.aborted) return undefined;
      const began = clock.now();
      const answer = await this.#poll();
      if (answer === "failed") {
        await clock.sleep(this.#backoff.next(), this.#drain);
      } else if (answer !== null) {
        this.#backoff.reset();
        return answer;
      } else if (clock.now() - began < SUSPICIOUSLY_SOON_MS) {
        await clock.sleep(this.#backoff.next(), this.#drain);
      } else {
        this.#backoff.reset();
      }
    }
    return undefined;
  }

  /** One poll; null when there was no work. */
  async #poll(): Promise<Claim | null | "failed"> {
    const { edge, runnerId, models, engine, version, runnerTimes, log } = this.#tools;
    this.#nonce ??= randomUUID();
    try {
      const claim = await edge.poll(
        {
          runner_id: runnerId,
          nonce: this.#nonce,
          models: [...models.keys()],
          loaded_model: engine.loadedModel,
          version,
          wait_s: runnerTimes.pollWaitS,
        },
        this.#drain,
      );
      this.#nonce = undefined;
      if (!this.#admitted) log.info({ models: [...models.keys()] }, "connected to the edge");
      this.#admitted = true;
      return claim;
    } catch (error) {
      if (this.#drain.aborted) return null;
      this.#judge(error);
      log.warn({ reason: reasonOf(error) }, "poll failed; trying again");
      return "failed";
    }
  }

  /** Throws what no repeat can mend. Once admitted, even a refusal may be a mistake that is mended there. */
  #judge(error: unknown): void {
    if (!(error instanceof EdgeError)) throw error;
    if (this.#admitted || (error.kind !== "unauthorized" && error.kind !== "refused")) return;
    throw new NotAdmittedError(
      `${error.message}. TURBOCLIP_RUNNER_ID and TURBOCLIP_RUNNER_TOKEN must be a pair that this edge has given out`,
    );
  }
}

/** Waits for the promise or the signal, and leaves nothing listening. */
async function unlessAborted(promise: Promise<unknown>, signal: AbortSignal): Promise<void> {
  const stop = Promise.withResolvers<void>();
  const wake = () => stop.resolve();
  onAbort(signal, wake);
  try {
    await Promise.race([promise, stop.promise]);
  } finally {
    signal.removeEventListener("abort", wake);
  }
}
