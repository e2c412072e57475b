// Times clips on this host through the engine process, as the runner makes them: the first after a load, one that
// finds everything warm but its prompt, and several back to back, each delivered while the next is sampled.
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LIMITS, type Timings } from "../../shared/contract/clips.ts";
import type { HeartbeatRequest } from "../../shared/contract/runner.ts";
import type { ModelOnDisk } from "../checkpoints/find.ts";
import { engineEnv } from "../engine/device.ts";
import { ENGINE_ENTRY, EngineHost } from "../engine/host.ts";
import type { Outcome, Rendered } from "../engine/protocol.ts";
import { busyShare, computeSeconds } from "../engine/use.ts";
import { CommandCancelled, CommandError } from "../errors.ts";
import type { Logger } from "../log.ts";
import type { RenderSettings } from "../render/options.ts";

export interface BenchJob {
  readonly model: ModelOnDisk;
  readonly settings: RenderSettings;
  /** Clips back to back, after the first and the warm one. */
  readonly clips: number;
  readonly env: NodeJS.ProcessEnv;
  readonly log: Logger;
  readonly onClip: (done: number, of: number) => void;
  readonly cancel: AbortSignal;
}

/** One clip, in seconds by the control process's clock. */
export interface ClipTimes {
  readonly timings: Timings;
  /** Of each sampler step, from the news of one to that of the next. */
  readonly steps: readonly number[];
  /** From the command to the clip's frames, and to its files. */
  readonly sampled: number;
  readonly delivered: number;
  /** Of the MP4. */
  readonly bytes: number;
}

export interface BackToBack {
  readonly clips: number;
  readonly seconds: number;
  /** Share of the time that the engine computed, from the first command to the last clip's frames. */
  readonly busy: number;
}

export interface Measured {
  readonly backend: string;
  readonly device: string | undefined;
  readonly load: number;
  readonly memory: NonNullable<Rendered["memory"]> | undefined;
  readonly first: ClipTimes;
  readonly warm: ClipTimes;
  readonly backToBack: BackToBack | undefined;
}

interface Running {
  readonly sampled: Promise<void>;
  readonly ended: Promise<ClipTimes>;
}

/** Rejects with an EngineUnusableError, a CommandError or a CommandCancelled. */
export async function measure(job: BenchJob): Promise<Measured> {
  const folder = await mkdtemp(join(tmpdir(), "turboclip-bench-"));
  const env = engineEnv(job.env, job.settings.device, job.settings.threads);
  const engine = new EngineHost({ entry: ENGINE_ENTRY, env, log: job.log });
  const bench = new Bench(job, engine, folder);
  try {
    const { backend, device } = await engine.whenReady();
    const load = await bench.load();
    const first = await bench.render().ended;
    const warm = await bench.render().ended;
    const backToBack = job.clips === 0 ? undefined : await bench.renderBackToBack();
    return { backend, device, load, memory: bench.memory, first, warm, backToBack };
  } finally {
    await engine.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

class Bench {
  readonly #job: BenchJob;
  readonly #engine: EngineHost;
  readonly #folder: string;
  #begun = 0;
  #done = 0;
  memory: Rendered["memory"];

  constructor(job: BenchJob, engine: EngineHost, folder: string) {
    this.#job = job;
    this.#engine = engine;
    this.#folder = folder;
  }

  async load(): Promise<number> {
    const began = performance.now();
    const outcome = await this.#engine.load(this.#job.model);
    if (outcome.kind !== "loaded") throw this.#unlike("loaded", outcome);
    return seconds(began);
  }

  /** The next seed's clip. */
  render(): Running {
    const sampled = Promise.withResolvers<void>();
    const ended = this.#render(sampled.resolve);
    ended.catch(sampled.reject);
    sampled.promise.catch(() => {});
    return { sampled: sampled.promise, ended };
  }

  async renderBackToBack(): Promise<BackToBack> {
    const began = performance.now();
    const running: Promise<ClipTimes>[] = [];
    for (let i = 0; i < this.#job.clips; i++) {
      const { sampled, ended } = this.render();
      running.push(ended);
      await sampled;
      await running.at(-2); // as a lane does: at most one clip is delivered beside the one that is sampled
    }
    const wall = seconds(began);
    const clips = await Promise.all(running);
    const busy = clips.reduce((sum, { timings }) => sum + computeSeconds(timings), 0);
    return { clips: clips.length, seconds: wall, busy: busyShare(busy, wall) };
  }

  async #render(onSampled: () => void): Promise<ClipTimes> {
    const { model, settings, cancel } = this.#job;
    const number = this.#begun++;
    const folder = join(this.#folder, String(number));
    await mkdir(folder);
    const began = performance.now();
    const news = new StepClock();
    let sampled = 0;
    const outcome = await this.#engine.render({
      ...{ model, sampling: settings.sampling, folder, signal: cancel },
      request: { ...settings.request, seed: settings.request.seed + number, prompt: numbered(settings, number) },
      onProgress: news.hear,
      onSampled: () => {
        sampled = seconds(began);
        onSampled();
      },
    });
    const delivered = seconds(began);
    await rm(folder, { recursive: true, force: true });
    if (outcome.kind !== "rendered") throw this.#unlike("rendered", outcome);
    this.memory = outcome.memory ?? this.memory;
    this.#job.onClip(++this.#done, this.#job.clips + 2);
    const { timings, outputs } = outcome;
    return { timings, steps: news.steps(timings), sampled, delivered, bytes: outputs.mp4.bytes };
  }

  #unlike(expected: string, outcome: Outcome): Error {
    if (this.#job.cancel.aborted) return new CommandCancelled("stopped");
    if (outcome.kind === "failed") return new CommandError(outcome.failure.message);
    return new CommandError(`the engine says ${outcome.kind} where ${expected} was expected`);
  }
}

/** No two clips have the same prompt, whose text rows would be kept. */
function numbered({ request }: RenderSettings, clip: number): string {
  return `${clip + 1}: ${request.prompt}`.slice(0, LIMITS.promptCharacters);
}

function seconds(began: number): number {
  return (performance.now() - began) / 1_000;
}

/** When each step's end was told. */
class StepClock {
  readonly #ends: number[] = [];

  readonly hear = ({ stage, step }: HeartbeatRequest): void => {
    if (stage === "denoise" && step > this.#ends.length) this.#ends.push(performance.now());
  };

  /** The first step has what its stage took beside the others: what begins a clip is in it. */
  steps({ denoise = 0 }: Timings): number[] {
    const later = this.#ends.slice(1).map((end, i) => (end - (this.#ends[i] ?? end)) / 1_000);
    return [Math.max(0, denoise - later.reduce((sum, step) => sum + step, 0)), ...later];
  }
}
