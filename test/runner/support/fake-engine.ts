// An engine process with a stand-in for the addon: everything else in it (IPC, tokeniser, ffmpeg) is real.
// The seed of a clip says what happens to it; the transformer file's content whether it can be loaded.
import { readFile } from "node:fs/promises";
import type {
  EngineBackend,
  EngineProgress,
  GeneratedClip,
  GenerateRequest,
  LoadedEngine,
  OnFrames,
} from "../../../runner/engine/native.ts";
import { serveEngine } from "../../../runner/engine/serve.ts";
import { framesOf } from "./nv12.ts";
import { SEEDS } from "./seeds.ts";

class NativeError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Stripes that move, of a colour that the seed chooses, as NV12. */
function stripes({ width, height, frames, seed }: GenerateRequest): Buffer {
  const rgb = Buffer.alloc(frames * height * width * 3);
  for (let i = 0; i < rgb.length; i++) {
    const pixel = Math.floor(i / 3);
    const x = pixel % width;
    const frame = Math.floor(pixel / (width * height));
    rgb[i] = (((x + 4 * frame) >> 4) * 40 + Number(seed) * 17 + (i % 3) * 60) & 255;
  }
  return framesOf(rgb, { width, height }, frames).nv12;
}

class FakeEngine implements LoadedEngine {
  readonly vocabulary = 1_000_000;
  readonly info = {};
  #cancelled = Promise.withResolvers<never>();

  async generate(
    request: GenerateRequest,
    onProgress?: (progress: EngineProgress) => void,
    onFrames?: OnFrames,
  ): Promise<GeneratedClip> {
    this.#cancelled = Promise.withResolvers<never>();
    this.#cancelled.promise.catch(() => {});
    const tell = (stage: EngineProgress["stage"], fraction: number) => {
      onProgress?.({ stage, fraction, step: 1, steps: 1 });
    };
    tell("text_encode", 1);
    tell("denoise", 0);
    tell("denoise", 1 / request.steps);
    await this.#misbehave(Number(request.seed));
    for (let step = 2; step <= request.steps; step++) tell("denoise", step / request.steps);
    const frames = stripes(request);
    onFrames?.(frames, 0, 1);
    tell("decode", 1 / (1 + (request.frames - 1) / 4));
    await this.#misbehaveDecoding(Number(request.seed));
    tell("decode", 1);
    return { frames, timings: { text_encode: 0.01, denoise: 0.02, decode: 0.03 } };
  }

  cancel(): void {
    this.#cancelled.reject(new NativeError("cancelled", "cancelled"));
  }

  free(): void {}

  async #misbehaveDecoding(seed: number): Promise<void> {
    if (seed === SEEDS.decodesUntilCancelled) return this.#cancelled.promise;
    if (seed !== SEEDS.diesDecoding) return;
    process.kill(process.pid, "SIGKILL");
    return new Promise(() => {});
  }

  async #misbehave(seed: number): Promise<void> {
    switch (seed) {
      case SEEDS.untilCancelled:
        return this.#cancelled.promise;
      case SEEDS.deafToCancel:
        return new Promise(() => {});
      case SEEDS.dies:
        process.kill(process.pid, "SIGKILL");
        return new Promise(() => {});
      case SEEDS.outOfMemory:
        throw new NativeError("out_of_memory", "12 GiB were asked for and 3 GiB are free");
      case SEEDS.talksNonsense:
        process.send?.({ type: "progress", job: "one", stage: "dreaming" });
        return this.#cancelled.promise;
      default:
        return;
    }
  }
}

const backend: EngineBackend = {
  name: "fake",
  async load(paths) {
    const content = await readFile(paths.transformer, "utf8");
    if (content.startsWith("broken")) {
      throw new NativeError(
        "tensor_missing",
        `${paths.transformer}: patch_embedding.weight is missing; expected [256, 64]`,
      );
    }
    return new FakeEngine();
  },
};

await serveEngine({
  openBackend: async () => {
    if (process.env.FAKE_ENGINE === "unusable") throw new Error("turboclip.node does not load: no such file");
    if (process.env.FAKE_ENGINE === "dies at start") process.exit(3);
    return backend;
  },
  threads: 1,
});
