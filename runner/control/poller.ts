// Asks the edge for the next clip, for one engine: parked at the edge while there is none, with waits that grow
// while it does not answer.
import { randomUUID } from "node:crypto";
import type { Claim } from "../../shared/contract/runner.ts";
import type { RunnerId } from "../../shared/ids.ts";
import type { EngineHost } from "../engine/host.ts";
import type { AttemptTools } from "./attempt.ts";
import { Backoff } from "./clock.ts";
import { EdgeError, reasonOf } from "./edge-client.ts";

export interface PollerTools extends Pick<AttemptTools, "edge" | "models" | "clock" | "random" | "log" | "engineName"> {
  readonly engine: Pick<EngineHost, "whenReady" | "loadedModel">;
  readonly runnerId: RunnerId;
  readonly version: string;
  /** What each engine of the runner computes on. */
  readonly devices: readonly string[];
  readonly runnerTimes: PollTimes;
  readonly admission: Admission;
}

/** Whether the edge has ever answered a poll of this runner, by whichever engine. */
export interface Admission {
  granted: boolean;
}

export interface PollTimes {
  readonly pollWaitS: number;
  readonly pollRetryMs: number;
  readonly maxPollRetryMs: number;
}

/** The edge knows neither this runner nor its token: nothing here can mend that. */
export class NotAdmittedError extends Error {}

/** An empty answer sooner than this was not a parked poll, so the next one waits a little. */
const SUSPICIOUSLY_SOON_MS = 500;

export class Poller {
  readonly #tools: PollerTools;
  readonly #drain: AbortSignal;
  readonly #backoff: Backoff;
  #drained = false;
  /** Kept while an answer may have been lost: the edge then gives the same claim again. */
  #nonce: string | undefined;

  constructor(tools: PollerTools, drain: AbortSignal) {
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
    const { edge, runnerId, models, engine, engineName, devices, version, runnerTimes, admission, log } = this.#tools;
    this.#nonce ??= randomUUID();
    try {
      const answer = await edge.poll(
        {
          runner_id: runnerId,
          nonce: this.#nonce,
          models: [...models.keys()],
          loaded_model: engine.loadedModel,
          version,
          engine: engineName,
          devices: [...devices],
          wait_s: runnerTimes.pollWaitS,
        },
        this.#drain,
      );
      this.#nonce = undefined;
      if (!admission.granted) log.info({ models: [...models.keys()] }, "connected to the edge");
      admission.granted = true;
      this.#noteDrained(answer === "drained");
      return answer === "drained" ? null : answer;
    } catch (error) {
      if (this.#drain.aborted) return null;
      this.#judge(error);
      log.warn({ reason: reasonOf(error) }, "poll failed; trying again");
      return "failed";
    }
  }

  /** Says once that the operator has drained the runner, and once that it is over. */
  #noteDrained(drained: boolean): void {
    if (drained === this.#drained) return;
    this.#drained = drained;
    this.#tools.log.info({}, drained ? "drained by the operator: no more clips until resumed" : "resumed");
  }

  /** Throws what no repeat can mend. Once admitted, even a refusal may be a mistake that is mended there. */
  #judge(error: unknown): void {
    if (!(error instanceof EdgeError)) throw error;
    if (this.#tools.admission.granted || (error.kind !== "unauthorized" && error.kind !== "refused")) return;
    if (error.code === "version_unsupported") throw new NotAdmittedError(error.message);
    throw new NotAdmittedError(
      `${error.message}. TURBOCLIP_RUNNER_ID and TURBOCLIP_RUNNER_TOKEN must be a pair that this edge has given out`,
    );
  }
}

/** Waits for the promise or the signal, and leaves nothing listening. */
async function unlessAborted(promise: Promise<unknown>, signal: AbortSignal): Promise<void> {
  const stop = Promise.withResolvers<void>();
  const wake = () => stop.resolve();
  signal.addEventListener("abort", wake, { once: true });
  if (signal.aborted) wake();
  try {
    await Promise.race([promise, stop.promise]);
  } finally {
    signal.removeEventListener("abort", wake);
  }
}
