// The engine process's loop: it holds at most one model and samples one clip at a time, as the control process
// asks, while the files of the one before are written. It ends when the control process is gone, however that
// went, so that no engine is ever orphaned.
import type { HeartbeatRequest } from "../../shared/contract/runner.ts";
import type { ModelFiles } from "../checkpoints/find.ts";
import { type Ffmpeg, findFfmpeg } from "../media/locate.ts";
import { loadTokenizer, type PromptTokenizer } from "../text/tokenizer.ts";
import { EngineFileError, isCancellation, isDeviceLost, toFailure } from "./failures.ts";
import type { EngineBackend, LoadedEngine } from "./native.ts";
import { type Command, commandSchema, type EngineEvent, type Outcome, type RenderCommand } from "./protocol.ts";
import { sampleClip, writeClip } from "./render.ts";

/** A job that does not stop within this after the control process has gone is left to the system. */
const LAST_STOP_MS = 2_000;

const DEVICE_LOST_STATUS = 70;

interface LoadedModel {
  readonly id: string;
  readonly engine: LoadedEngine;
  readonly tokenizer: PromptTokenizer;
}

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
  readonly #backend: EngineBackend;
  readonly #ffmpeg: Ffmpeg;
  readonly #threads: number;
  #loaded: LoadedModel | undefined;
  readonly #running = new Map<number, RunningJob>();
  /** The job that has the engine; the others are writing their files. */
  #computing: number | undefined;

  constructor(backend: EngineBackend, ffmpeg: Ffmpeg, threads: number) {
    this.#backend = backend;
    this.#ffmpeg = ffmpeg;
    this.#threads = threads;
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
    if (this.#computing === job) this.#loaded?.engine.cancel();
  }

  #letGo(job: number): void {
    if (this.#computing === job) this.#computing = undefined;
  }

  async #perform(command: Exclude<Command, { type: "cancel" }>, signal: AbortSignal): Promise<Outcome> {
    try {
      return command.type === "load" ? await this.#load(command.model) : await this.#render(command, signal);
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

  async #load(model: ModelFiles): Promise<Outcome> {
    await this.#require(model);
    return { kind: "loaded" };
  }

  async #render(command: RenderCommand, signal: AbortSignal): Promise<Outcome> {
    const report = (progress: HeartbeatRequest) => {
      sendEvent({ type: "progress", job: command.job, progress });
    };
    const began = performance.now();
    const wasLoaded = this.#loaded?.id === command.model.id;
    if (!wasLoaded) report({ stage: "load", step: 0, steps: 1 });
    const { engine, tokenizer } = await this.#require(command.model);
    const load = wasLoaded ? {} : { load: (performance.now() - began) / 1_000 };
    if (signal.aborted) return { kind: "cancelled" };
    const sampled = await sampleClip({ engine, tokenizer }, command, report);
    this.#letGo(command.job);
    sendEvent({ type: "sampled", job: command.job });
    report({ stage: "encode", step: 0, steps: 1 });
    const rendered = await writeClip(this.#ffmpeg, sampled, command.folder, signal);
    return { ...rendered, timings: { ...load, ...rendered.timings } };
  }

  /** The model, loaded if it is not. The one before goes first: two rarely fit. */
  async #require(model: ModelFiles): Promise<LoadedModel> {
    if (this.#loaded?.id === model.id) return this.#loaded;
    this.#loaded?.engine.free();
    this.#loaded = undefined;
    const tokenizer = await loadTokenizer(model.tokenizer);
    const { transformer, vae, textEncoder, tinyDecoder } = model;
    const paths = { transformer, vae, textEncoder, ...(tinyDecoder === undefined ? {} : { tinyDecoder }) };
    const engine = await this.#backend.load(paths, { threads: this.#threads });
    if (tokenizer.vocabularySize > engine.vocabulary) {
      engine.free();
      throw new EngineFileError(
        `${model.tokenizer} has ${tokenizer.vocabularySize} tokens, ${textEncoder} only ${engine.vocabulary}: ` +
          "they do not belong together",
      );
    }
    this.#loaded = { id: model.id, engine, tokenizer };
    return this.#loaded;
  }
}
