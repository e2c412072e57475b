// Keeps one engine process alive and gives it one clip at a time to sample; the files of the one before may
// still be being written. A process that dies (a fault, the system short of memory, kill -9) costs the jobs it
// had, told at once as failures that may be tried again, and a restart, whose wait grows while it keeps dying.
import type { Timings } from "../../shared/contract/clips.ts";
import type { ClipRequest, HeartbeatRequest } from "../../shared/contract/runner.ts";
import type { ModelFiles, Sampling } from "../checkpoints/find.ts";
import type { Logger } from "../log.ts";
import { EngineChild } from "./child.ts";
import type { Command, EngineEvent, Outcome } from "./protocol.ts";

/** The engine process of the product; tests start one of their own. */
export const ENGINE_ENTRY = new URL("./main.ts", import.meta.url).pathname;

export interface EngineTimes {
  /** Wait before the first restart; doubled each time up to the maximum, back to the first after a success. */
  readonly restartMs: number;
  readonly maxRestartMs: number;
  /** From fork to ready. */
  readonly startMs: number;
  /** From cancel to its end; then the process is killed. Covers one transformer block of a large model on a CPU. */
  readonly cancelMs: number;
}

export const DEFAULT_ENGINE_TIMES: EngineTimes = {
  restartMs: 250,
  maxRestartMs: 30_000,
  startMs: 60_000,
  cancelMs: 20_000,
};

export interface EngineHostOptions {
  readonly entry: string;
  readonly env: NodeJS.ProcessEnv;
  readonly log: Logger;
  readonly times?: EngineTimes;
}

export interface RenderJob {
  readonly model: ModelFiles;
  readonly request: ClipRequest;
  readonly sampling: Sampling;
  readonly folder: string;
  readonly onProgress: (progress: HeartbeatRequest) => void;
  /** The engine is free for the next clip; this one's outcome comes when its files are written. */
  readonly onSampled?: (timings: Timings) => void;
  /** Aborted: the engine stops within a block and the outcome is `cancelled`. */
  readonly signal: AbortSignal;
}

export interface ReadyEngine {
  /** "cpu" or "cuda". */
  readonly backend: string;
  /** The card, in words. */
  readonly device?: string | undefined;
}

/** The engine cannot work on this host, as it said itself. */
export class EngineUnusableError extends Error {}

interface JobEvents {
  readonly onProgress: RenderJob["onProgress"];
  readonly onSampled: (timings: Timings) => void;
}

interface PendingJob extends JobEvents {
  readonly settle: (outcome: Outcome) => void;
}

type NewCommand = DistributiveOmit<Exclude<Command, { type: "cancel" }>, "job">;
type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

export class EngineHost {
  readonly #options: EngineHostOptions;
  readonly #times: EngineTimes;
  #child: EngineChild | undefined;
  #ready = deferred<ReadyEngine>();
  readonly #pending = new Map<number, PendingJob>();
  /** The job that has the engine. */
  #computing: number | undefined;
  #loadedModel: string | null = null;
  #restartTimer: NodeJS.Timeout | undefined;
  #startTimer: NodeJS.Timeout | undefined;
  #deaths = 0;
  #lastJob = 0;
  #stopped = false;
  #everReady = false;

  constructor(options: EngineHostOptions) {
    this.#options = options;
    this.#times = options.times ?? DEFAULT_ENGINE_TIMES;
    this.#spawn();
  }

  /** Resolves once a process is ready; rejects when none ever can be on this host. */
  whenReady(): Promise<ReadyEngine> {
    return this.#ready.promise;
  }

  /** The model whose weights the process holds; null while it holds none. */
  get loadedModel(): string | null {
    return this.#loadedModel;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Loads a model ahead of its first clip; `failed` names the file and tensor that are wrong. */
  async load(model: ModelFiles): Promise<Outcome> {
    const command = { type: "load", model } as const;
    const events = { onProgress: () => {}, onSampled: () => {} };
    const outcome = await this.#perform(command, events, new AbortController().signal);
    if (outcome.kind === "loaded") this.#loadedModel = model.id;
    return outcome;
  }

  async render({ model, request, sampling, folder, onProgress, onSampled, signal }: RenderJob): Promise<Outcome> {
    let sampled = false;
    const events: JobEvents = {
      onProgress,
      onSampled: (timings) => {
        sampled = true;
        this.#loadedModel = model.id;
        onSampled?.(timings);
      },
    };
    const outcome = await this.#perform({ type: "render", model, request, sampling, folder }, events, signal);
    if (outcome.kind === "rendered") this.#deaths = 0;
    // The one before has made room for a model that may not have come.
    else if (!sampled && this.#loadedModel !== model.id) this.#loadedModel = null;
    return outcome;
  }

  /** Ends the process; jobs that run are settled as failed. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#restartTimer);
    await this.#child?.stop();
  }

  async #perform(command: NewCommand, events: JobEvents, signal: AbortSignal): Promise<Outcome> {
    await this.whenReady();
    if (signal.aborted) return { kind: "cancelled" };
    if (this.#computing !== undefined) throw new Error("the engine has a job already");
    const child = this.#child;
    if (child === undefined) return engineFailed("the engine process has just ended");
    const id = ++this.#lastJob;
    let killTimer: NodeJS.Timeout | undefined;
    const cancel = () => {
      child.send({ type: "cancel", job: id });
      killTimer = setTimeout(() => {
        this.#options.log.warn({ pid: child.pid }, "the engine process did not stop when asked; killing it");
        child.kill();
      }, this.#times.cancelMs);
    };
    try {
      return await new Promise<Outcome>((settle) => {
        this.#pending.set(id, { ...events, settle });
        this.#computing = id;
        signal.addEventListener("abort", cancel, { once: true });
        child.send({ ...command, job: id });
      });
    } finally {
      this.#pending.delete(id);
      if (this.#computing === id) this.#computing = undefined;
      clearTimeout(killTimer);
      signal.removeEventListener("abort", cancel);
    }
  }

  #spawn(): void {
    const { entry, env, log } = this.#options;
    const child = new EngineChild({
      entry,
      env,
      onLine: (line) => log.warn({ pid: child.pid }, `engine process: ${line}`),
      onEvent: (event) => this.#onEvent(event),
      onExit: (how) => this.#onExit(how),
    });
    this.#child = child;
    this.#startTimer = setTimeout(() => child.kill(), this.#times.startMs);
  }

  #onEvent(event: EngineEvent): void {
    switch (event.type) {
      case "ready":
        this.#onReady(event);
        return;
      case "unusable":
        // Once it has worked here, what is missing now may come back: restarts go on.
        if (this.#everReady) this.#options.log.error(`the engine process cannot work: ${event.message}`);
        else this.#ready.reject(new EngineUnusableError(event.message));
        return;
      case "planned":
        this.#options.log.info({ model: event.model }, `about to load ${event.model}: ${event.plan}`);
        return;
      case "progress":
        this.#pending.get(event.job)?.onProgress(event.progress);
        return;
      case "sampled":
        if (this.#computing === event.job) this.#computing = undefined;
        this.#pending.get(event.job)?.onSampled(event.timings);
        return;
      case "outcome":
        this.#pending.get(event.job)?.settle(event.outcome);
        return;
    }
  }

  #onReady({ backend, device }: ReadyEngine): void {
    clearTimeout(this.#startTimer);
    this.#everReady = true;
    this.#options.log.info({ pid: this.#child?.pid, backend, device }, "engine process is ready");
    this.#ready.resolve({ backend, device });
  }

  #onExit(how: string): void {
    clearTimeout(this.#startTimer);
    this.#child = undefined;
    this.#loadedModel = null;
    for (const job of this.#pending.values()) job.settle(engineFailed(how));
    if (!this.#everReady) this.#ready.reject(new EngineUnusableError(how));
    if (this.#stopped || !this.#everReady) return;
    this.#ready = deferred();
    const { restartMs, maxRestartMs } = this.#times;
    const wait = Math.min(restartMs * 2 ** this.#deaths, maxRestartMs);
    this.#deaths = Math.min(this.#deaths + 1, 30);
    this.#options.log.error({ restartInMs: wait }, how);
    this.#restartTimer = setTimeout(() => this.#spawn(), wait);
  }
}

function engineFailed(message: string): Outcome {
  return { kind: "failed", failure: { code: "engine_failed", message: message.slice(0, 1_000), retryable: true } };
}

interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
}

/** A rejection that nobody waits for yet is not an unhandled one. */
function deferred<T>(): Deferred<T> {
  const made = Promise.withResolvers<T>();
  made.promise.catch(() => {});
  return made;
}
