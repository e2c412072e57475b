// The addon as a program uses it: a real model set, loaded, run, cancelled and freed.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  Engine,
  type EnginePaths,
  type EngineProgress,
  type GenerateRequest,
  openBackend,
} from "../../native/index.ts";
import { findModel } from "../../shared/models.ts";
import { writeRandomModel } from "../fixtures/random-model/model-set.ts";
import { writeTinyDecoder } from "./tiny-decoder.ts";

let folder: string;
let paths: EnginePaths;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "turboclip-addon-"));
  writeRandomModel(folder);
  const files = findModel("turboclip-demo")?.files;
  const transformer = files?.transformer.at(-1);
  if (files === undefined || transformer === undefined) throw new Error("the registry has no turboclip-demo");
  paths = {
    transformer: join(folder, transformer),
    textEncoder: join(folder, files.textEncoder),
    vae: join(folder, files.vae),
  };
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const request: GenerateRequest = {
  tokenIds: [5, 17, 1],
  width: 64,
  height: 48,
  frames: 5,
  steps: 2,
  sampler: "sde",
  sigmaMax: 80,
  seed: 7,
  attention: "sla",
  topkRatio: 0.1,
};

const load = async () => (await openBackend()).load(paths, { threads: 2 });

async function withEngine(use: (engine: Engine) => Promise<void>): Promise<void> {
  const engine = await load();
  try {
    await use(engine);
  } finally {
    engine.free();
  }
}

describe("the engine addon", () => {
  it("tells what it loaded, as read from the tensors", async () => {
    await withEngine(async ({ info, vocabulary }) => {
      expect(info).toMatchObject({ backend: "cpu", width: 256, heads: 2, layers: 4, textWidth: 128 });
      expect(info.sparseAttention).toBe(true);
      expect(info.residentBytes).toBeGreaterThan(1_000_000);
      expect(vocabulary).toBe(info.vocabulary);
    });
  });

  it("makes the same frames from the same seed and others from another", async () => {
    await withEngine(async (engine) => {
      const first = await engine.generate(request);
      const again = await engine.generate({ ...request, seed: 7n });
      const other = await engine.generate({ ...request, seed: 8 });
      expect(first.frames.length).toBe(5 * 48 * 64 * 3);
      expect(again.frames.equals(first.frames)).toBe(true);
      expect(other.frames.equals(first.frames)).toBe(false);
      expect(Object.keys(first.timings).sort()).toEqual(["decode", "denoise", "text_encode"]);
      for (const seconds of Object.values(first.timings)) expect(seconds).toBeGreaterThanOrEqual(0);
    });
  });

  it("reports its stages in order while it works, and nothing afterwards", async () => {
    await withEngine(async (engine) => {
      const events: EngineProgress[] = [];
      await engine.generate(request, (progress) => events.push(progress));
      const seen = events.length;
      expect(seen).toBeGreaterThan(0);
      const stages = events.map(({ stage }) => ["text_encode", "denoise", "decode"].indexOf(stage));
      expect(stages).toEqual(stages.toSorted((a, b) => a - b));
      for (const { step, steps, fraction } of events) {
        expect(step).toBeLessThanOrEqual(steps);
        expect(fraction).toBeLessThanOrEqual(1);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(events.length).toBe(seen);
    });
  });

  it("stops when cancelled, and can then make the next clip", async () => {
    await withEngine(async (engine) => {
      const long = { ...request, width: 512, height: 512, frames: 33 };
      const clip = engine.generate(long, ({ stage }) => {
        if (stage === "denoise") engine.cancel();
      });
      await expect(clip).rejects.toMatchObject({ code: "cancelled" });
      engine.cancel(); // idle: does nothing
      expect((await engine.generate(request)).frames.length).toBe(5 * 48 * 64 * 3);
    });
  });

  it("makes one clip at a time and is not freed under it", async () => {
    await withEngine(async (engine) => {
      const first = engine.generate(request);
      await expect(engine.generate(request)).rejects.toMatchObject({ code: "engine_busy" });
      expect(() => engine.free()).toThrow(expect.objectContaining({ code: "engine_busy" }));
      await first;
    });
  });

  it("may be freed twice, and then says that it was freed", async () => {
    const engine = await load();
    engine.free();
    engine.free();
    await expect(engine.generate(request)).rejects.toMatchObject({ code: "engine_freed" });
  });

  it("decodes with TAEHV when asked to, if it was loaded", async () => {
    const tinyDecoder = join(folder, "taew2_1.pth");
    writeTinyDecoder(tinyDecoder, 8);
    const engine = await (await openBackend()).load({ ...paths, tinyDecoder }, { threads: 2 });
    try {
      expect(engine.info.tinyDecoder).toBe(true);
      const full = await engine.generate(request);
      const tiny = await engine.generate({ ...request, decoder: "taehv" });
      expect(tiny.frames.length).toBe(full.frames.length);
      expect(tiny.frames.equals(full.frames)).toBe(false);
    } finally {
      engine.free();
    }
  });

  it("names the file that does not open", async () => {
    const missing = join(folder, "nothing.pth");
    const loading = (await openBackend()).load({ ...paths, vae: missing }, { threads: 1 });
    await expect(loading).rejects.toMatchObject({ code: "file_missing", message: expect.stringContaining(missing) });
  });

  it("names the file that is another model", async () => {
    const loading = Engine.load({ ...paths, transformer: paths.vae });
    await expect(loading).rejects.toMatchObject({ message: expect.stringContaining(paths.vae) });
  });

  it.each([
    [{ frames: 8 }, "frames is 8; send 4 n + 1"],
    [{ width: 100 }, "width is 100; send a multiple of 16"],
    [{ height: 4096 }, "height is 4096; send a multiple of 16"],
    [{ steps: 5 }, "steps is 5; send 1 to 4"],
    [{ steps: 2.5 }, "steps is 2.5"],
    [{ sigmaMax: Number.NaN }, "sigmaMax is NaN"],
    [{ topkRatio: 0 }, "topkRatio is 0"],
    [{ seed: -1 }, "seed is -1"],
    [{ seed: 2n ** 64n }, "seed is 18446744073709551616"],
    [{ tokenIds: [] }, "tokenIds is a list of 0"],
    [{ tokenIds: [5, -3] }, "tokenIds[1] is -3"],
    [{ tokenIds: [5, 999_999] }, "token_ids[1] is 999999"],
    [{ width: 2048, height: 2048 }, "2048 x 2048"],
    [{ sampler: "euler" }, 'sampler is "euler"; send "sde" or "ode"'],
    [{ decoder: "taehv" }, "loaded without one"],
    [{ decoder: "tiny" }, 'decoder is "tiny"; send "vae" or "taehv"'],
    [{ fps: 16 }, "unknown member fps"],
  ])("refuses %o with the value and what to send", async (change, sentence) => {
    await withEngine(async (engine) => {
      const wrong = { ...request, ...change } as GenerateRequest;
      await expect(engine.generate(wrong)).rejects.toMatchObject({
        code: "request_invalid",
        message: expect.stringContaining(sentence),
      });
    });
  });

  it("gives its memory back: twenty loads hold no more than one", async () => {
    const resident: number[] = [];
    const external: number[] = [];
    for (let i = 0; i < 20; ++i) {
      const engine = await load();
      if (i % 5 === 0) await engine.generate(request);
      external.push(process.memoryUsage().external - engine.info.residentBytes);
      engine.free();
      resident.push(process.memoryUsage().rss);
    }
    const megabytes = (from: number, to: number, values: number[]) => ((values[to] ?? 0) - (values[from] ?? 0)) / 1e6;
    expect(megabytes(4, 19, resident)).toBeLessThan(40); // one set is about 20 MB in memory
    expect(megabytes(0, 19, external)).toBeLessThan(20);
  });

  it("does not hold up a process that exits in the middle of a clip", () => {
    const script = `
      import { Engine } from ${JSON.stringify(new URL("../../native/index.ts", import.meta.url).href)};
      const engine = await Engine.load(${JSON.stringify(paths)}, { threads: 1 });
      const request = { ...${JSON.stringify(request)}, width: 512, height: 512, frames: 81 };
      engine.generate(request, () => process.exit(7));`;
    const child = spawnSync(process.execPath, ["--input-type=module", "--eval", script], { timeout: 20_000 });
    expect({ status: child.status, stderr: child.stderr.toString() }).toEqual({ status: 7, stderr: "" });
  });
});
