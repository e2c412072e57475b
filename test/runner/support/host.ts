// What tests of the runner share: a model set that the stand-in engine takes, a silent log, an engine host.
import { EventEmitter, once } from "node:events";
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DEMO_FILES } from "../../../models/demo/shipped.ts";
import { findModels, type ModelOnDisk } from "../../../runner/checkpoints/find.ts";
import { EngineHost, type EngineTimes } from "../../../runner/engine/host.ts";
import type { Logger } from "../../../runner/log.ts";
import type { ClipRequest } from "../../../shared/contract/runner.ts";

export const FAKE_ENGINE = new URL("./fake-engine.ts", import.meta.url).pathname;
export const FAST_TIMES: EngineTimes = { restartMs: 1, maxRestartMs: 50, startMs: 20_000, cancelMs: 20_000 };

export interface TestFolder {
  readonly path: string;
  /** A folder for one clip. */
  fresh(name: string): Promise<string>;
  remove(): Promise<void>;
}

export async function testFolder(): Promise<TestFolder> {
  const path = await mkdtemp(join(tmpdir(), "turboclip-test-"));
  return {
    path,
    async fresh(name) {
      const folder = join(path, name);
      await mkdir(folder, { recursive: true });
      return folder;
    },
    remove: () => rm(path, { recursive: true, force: true }),
  };
}

/** Files by the demo's names; `transformer` is what the stand-in engine reads. */
export async function fakeModel(folder: string, transformer = "fine"): Promise<ModelOnDisk> {
  const own = join(folder, "turboclip-demo");
  await mkdir(own, { recursive: true });
  await writeFile(join(own, "TurboWan-Demo.pth"), transformer);
  await writeFile(join(own, "Wan2.1_VAE.pth"), "fine");
  await writeFile(join(own, "models_t5_umt5-xxl-enc-bf16.pth"), "fine");
  await copyFile(DEMO_FILES.tokenizer, join(own, "tokenizer.json"));
  const [model] = (await findModels(folder, "vae")).found;
  if (model === undefined) throw new Error("the test's model is not complete");
  return model;
}

export interface LogLine {
  readonly level: string;
  readonly fields: object;
  readonly message: string;
}

/** Keeps what is logged, for tests that read it or wait for it. */
export class LogBook {
  readonly lines: LogLine[] = [];
  readonly #events = new EventEmitter();

  logger(bound: object = {}): Logger {
    const write = (level: string) => (fields: object | string, message?: string) => {
      const line =
        typeof fields === "string"
          ? { fields: bound, message: fields }
          : { fields: { ...bound, ...fields }, message: message ?? "" };
      this.lines.push({ level, ...line });
      this.#events.emit("line");
    };
    return {
      debug: write("debug"),
      info: write("info"),
      warn: write("warn"),
      error: write("error"),
      child: (fields) => this.logger({ ...bound, ...fields }),
    };
  }

  /** Resolves when this many lines hold the text. */
  async until(text: string, times = 1): Promise<void> {
    while (this.lines.filter((line) => line.message.includes(text)).length < times) await once(this.#events, "line");
  }
}

export function fakeEngineHost(
  options: { times?: Partial<EngineTimes>; mode?: string; ffmpeg?: string | undefined; log?: LogBook } = {},
): EngineHost {
  return new EngineHost({
    entry: FAKE_ENGINE,
    env: {
      ...process.env,
      ...(options.mode === undefined ? {} : { FAKE_ENGINE: options.mode }),
      ...(options.ffmpeg === undefined ? {} : { FFMPEG_PATH: options.ffmpeg }),
    },
    log: (options.log ?? new LogBook()).logger(),
    times: { ...FAST_TIMES, ...options.times },
  });
}

/** A small clip; the seed says what becomes of it. */
export function smallClip(seed = 7): ClipRequest {
  return {
    ...{ model: "turboclip-demo", prompt: "a red ball", width: 64, height: 48 },
    ...{ frames: 5, steps: 4, sampler: "sde", seed },
  };
}

/** Whether a process is there and not a zombie. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
