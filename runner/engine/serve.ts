// The engine process's loop: it holds the models that fit and samples one clip at a time, as the control process
// asks, while the files of the one before are written. It ends when the control process is gone, however that
// went, so that no engine is ever orphaned.
import type { HeartbeatRequest } from "../../shared/contract/runner.ts";
import { type Ffmpeg, findFfmpeg } from "../media/locate.ts";
import { isCancellation, isDeviceLost, nativeCode, toFailure } from "./failures.ts";
import { type LoadedModel, LoadedModels } from "./models.ts";
import type { EngineBackend, LoadedEngine } from "./native.ts";
import {
  type Command,
  commandSchema,
  type EngineEvent,
  type Outcome,
  type RenderCommand,
  type Rendered,
} from "./protocol.ts";
import { type ReportProgress, type SampledClip, sampleClip, writeClip } from "./render.ts";

/** A job that does not stop within this after the control process has gone is left to the system. */
const LAST_STOP_MS = 2_000;

const DEVICE_LOST_STATUS = 70;

interface RunningJob {
  readonly stop: AbortController;
  done: Promise<void>;
}

export interface EngineProcessOptions {
  /** Opens the addon and the device; rejects when either cannot be used on this host. */
  readonly openBackend: () => Promise<EngineBackend>;
  /** Threads of the CPU engine; 0 is one a core. */
  readonly threads: number;
}

/** Answers commands until the IPC channel closes. */
export async function serveEngine(options: EngineProcessOptions): Promise<void> {
  if (process.send === undefined) throw new Error("the engine process is started by the runner, not by hand");
  // A terminal sends its signals to the whole group; the control process decides what they mean for a clip.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});
  let server: EngineServer | undefined;
  process.on("disconnect", () => {
    setTimeout(() => process.kill(process.pid, "SIGKILL"), LAST_STOP_MS).unref();
    void (server?.close() ?? Promise.resolve()).finally(() => process.exit(0));
  });
  if (!process.connected) process.exit(0); // it was gone before we listened
  try {
    const backend = await options.openBackend();
    server = new EngineServer(backend, await findFfmpeg(process.env), options.threads);
    const { handle } = server;
    process.on("message", (message) => handle(message));
    sendEvent({ type: "ready", backend: backend.name, device: backend.device });
  } catch (error) {
    sendEvent({ type: "unusable", message: error instanceof Error ? error.message : String(error) });
    process.disconnect();
  }
}

function sendEvent(event: EngineEvent): void {
  // A channel that closed meanwhile is told by `disconnect`.
  if (process.connected) process.send?.(event, undefined, undefined, () => {});
}

class EngineServer {
  readonly #models: LoadedModels;
  readonly #ffmpeg: Ffmpeg;
  /** The engine that samples. */
  #sampling: LoadedEngine | undefined;
  readonly #running = new Map<number, RunningJob>();
  /** The job that has the engine; the others are writing their files. */
  #computing: number | undefined;

  constructor(backend: EngineBackend, ffmpeg: Ffmpeg, threads: number) {
    this.#models = new LoadedModels(backend, threads, (model, plan) => sendEvent({ type: "planned", model, plan }));
    this.#ffmpeg = ffmpeg;
  }

  readonly handle = (message: unknown): void => {
    const command = commandSchema.parse(message); // throws, and so ends the process, on what is not ours
    if (command.type === "cancel") {
      this.#cancel(command.job);
      return;
    }
    if (this.#computing !== undefined) {
      const failure = { code: "internal", message: "the engine process is busy", retryable: true } as const;
      sendEvent({ type: "outcome", job: command.job, outcome: { kind: "failed", failure } });
      return;
    }
    const { job } = command;
    const running: RunningJob = { stop: new AbortController(), done: Promise.resolve() };
    this.#running.set(job, running);
    this.#computing = job;
    running.done = this.#perform(command, running.stop.signal).then((outcome) => {
      this.#letGo(job);
      this.#running.delete(job);
      sendEvent({ type: "outcome", job, outcome });
    });
  };

  /** Stops the running jobs and waits for them. */
  async close(): Promise<void> {
    const running = [...this.#running];
    for (const [job] of running) this.#cancel(job);
    await Promise.all(running.map(([, { done }]) => done));
  }

  #cancel(job: number): void {
    this.#running.get(job)?.stop.abort();
    if (this.#computing === job) this.#sampling?.cancel();
  }

  #letGo(job: number): void {
    if (this.#computing === job) this.#computing = undefined;
  }

  async #perform(command: Exclude<Command, { type: "cancel" }>, signal: AbortSignal): Promise<Outcome> {
    try {
      if (command.type === "render") return await this.#render(command, signal);
      const { plan } = await this.#models.require(command.model, {});
      return { kind: "loaded", ...(plan === undefined ? {} : { plan }) };
    } catch (error) {
      if (isDeviceLost(error)) return this.#endProcess(error);
      if (signal.aborted || isCancellation(error)) return { kind: "cancelled" };
      return { kind: "failed", failure: toFailure(error) };
    }
  }

  /**
   * A card that has lost its state answers no more in this process: the control process is to start another. The
   * files of the clip before need no card, and are finished first. What remains of this clip are its last words.
   */
  async #endProcess({ message }: Error): Promise<never> {
    const writing = [...this.#running].filter(([job]) => job !== this.#computing);
    await Promise.all(writing.map(([, { done }]) => done));
    await new Promise((written) => process.stderr.write(`${message}\n`, written));
    process.exit(DEVICE_LOST_STATUS);
  }

  async #render(command: RenderCommand, signal: AbortSignal): Promise<Outcome> {
    const { job, model, request, sampling, folder } = command;
    const report = (progress: HeartbeatRequest) => {
      sendEvent({ type: "progress", job, progress });
    };
    const began = performance.now();
    const wasLoaded = this.#models.has(model.id);
    if (!wasLoaded) report({ stage: "load", step: 0, steps: 1 });
    const loaded = await this.#models.require(model, { request, sampling });
    const load = wasLoaded ? {} : { load: (performance.now() - began) / 1_000 };
    if (signal.aborted) return { kind: "cancelled" };
    const sampled = await this.#sample(loaded, command, signal, report);
    const memory = deviceMemory(loaded.engine);
    this.#letGo(job);
    sendEvent({ type: "sampled", job, timings: sampled.timings });
    report({ stage: "encode", step: 0, steps: 1 });
    const rendered = await writeClip(this.#ffmpeg, sampled, folder, signal);
    return { ...rendered, ...memory, timings: { ...load, ...rendered.timings } };
  }

  /** A clip that finds no room beside other models has it to itself. */
  async #sample(
    { id, engine, tokenizer }: LoadedModel,
    command: RenderCommand,
    signal: AbortSignal,
    report: ReportProgress,
  ): Promise<SampledClip> {
    const tools = { engine, tokenizer, ffmpeg: this.#ffmpeg, signal, report };
    this.#sampling = engine;
    try {
      return await sampleClip(tools, command);
    } catch (error) {
      if (nativeCode(error) !== "out_of_memory" || !this.#models.keepOnly(id)) throw error;
      return await sampleClip(tools, command);
    } finally {
      this.#sampling = undefined;
    }
  }
}

function deviceMemory({ info }: LoadedEngine): Pick<Rendered, "memory"> {
  const { deviceBytes: held_bytes, devicePeakBytes: peak_bytes } = info;
  if (held_bytes === undefined || peak_bytes === undefined) return {};
  return { memory: { held_bytes, peak_bytes } };
}
