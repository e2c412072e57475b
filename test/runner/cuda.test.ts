// The command with its engine on a CUDA device: everything is real but the card, for which the library of the
// native tests stands in (test/native/cuda/emulator).
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import type { ClipRequest } from "../../shared/contract/runner.ts";
import { writeRandomModel } from "../fixtures/random-model/model-set.ts";
import { type Command, startCommand } from "./support/command.ts";
import { EdgeDouble } from "./support/edge-double.ts";
import { type TestFolder, testFolder } from "./support/host.ts";
import { readMp4 } from "./support/mp4.ts";

const BUILD = new URL("../../build/native/", import.meta.url).pathname;
const EMULATED = join(BUILD, "test/cuda/emulator/libturboclip_cuda_emulated_library.so");
const REAL = join(BUILD, "cuda/libturboclip_cuda.so");
const SMALL = ["--size", "32x32", "--frames", "5", "--steps", "2", "--threads", "1", "--seed", "3"] as const;
const REQUEST: ClipRequest = {
  ...{ model: "turboclip-demo", prompt: "waves", width: 32, height: 32 },
  ...{ frames: 5, steps: 2, sampler: "sde", seed: 3 },
};

// Every thread of a kernel is a fiber here: a start with its self-test takes seconds, and a clip as many.
vi.setConfig({ testTimeout: 180_000 });

let folder: TestFolder;
let edge: EdgeDouble;
const commands: Command[] = [];

beforeAll(async () => {
  folder = await testFolder();
  writeRandomModel(join(folder.path, "models", "turboclip-demo"));
  edge = await EdgeDouble.start();
});
afterEach(() => {
  for (const command of commands.splice(0)) command.child.kill("SIGKILL");
});
afterAll(async () => {
  await edge.down();
  await folder.remove();
});

function run(args: readonly string[], env: Readonly<Record<string, string>> = {}): Command {
  const settings = {
    TURBOCLIP_EDGE_URL: edge.origin,
    TURBOCLIP_RUNNER_ID: "rnr_01j9z3k4m5n6p7q8r9s0t1v2w3",
    TURBOCLIP_RUNNER_TOKEN: edge.token,
    TURBOCLIP_MODELS_DIR: join(folder.path, "models"),
    TURBOCLIP_WORK_DIR: join(folder.path, "work"),
    TURBOCLIP_THREADS: "1",
    TURBOCLIP_CUDA_LIBRARY: EMULATED,
  };
  const command = startCommand(args, { ...process.env, ...settings, ...env });
  commands.push(command);
  return command;
}

/** Where the emulated device finds the fault that is written there. */
const faultFile = () => join(folder.path, "fault");

describe("turboclip-runner render --gpu", () => {
  test("draws the clip on the device, and says so", async () => {
    const file = join(folder.path, "clip.mp4");
    const command = run(["render", "a red ball", "-o", file, "--json", "--gpu", "0", ...SMALL]);
    expect(await command.exit, command.stderr()).toBe(0);
    expect(JSON.parse(command.stdout())).toMatchObject({
      engine: expect.stringMatching(/^cuda\/\d/),
      settings: { device: "cuda:0", steps: 2 },
    });
    expect(readMp4(await readFile(file))).toMatchObject({ width: 32, height: 32, samples: 5 });
    expect(command.stderr()).toMatch(/denoising 1 of 2\n[\s\S]*denoising 2 of 2\n/);
  });

  test.each([
    [
      "a library that is not there",
      "0",
      "/nowhere/libturboclip_cuda.so",
      /does not open: \/nowhere.*nvcc.*TURBOCLIP_CUDA/,
    ],
    ["a device that is not there", "9", EMULATED, /no CUDA device 9: the driver shows 2/],
  ])("ends with 1 and says what to do about %s", async (_, gpu, library, message) => {
    const file = join(folder.path, "none.mp4");
    const command = run(["render", "a red ball", "-o", file, "--gpu", gpu, ...SMALL], {
      TURBOCLIP_CUDA_LIBRARY: library,
    });
    expect(await command.exit).toBe(1);
    expect(command.stderr()).toMatch(message);
    expect(command.stderr()).not.toContain("    at ");
    expect(existsSync(file)).toBe(false);
  });

  test("is told before the load when the model is over the share of the device that it may take", async () => {
    const file = join(folder.path, "none.mp4");
    const args = ["render", "a red ball", "-o", file, "--gpu", "0", ...SMALL];
    const command = run(args, { TURBOCLIP_DEVICE_MEMORY_GIB: "0.001" });
    expect(await command.exit).toBe(1);
    expect(command.stderr()).toMatch(
      /the model set with a clip of .* needs .* GiB of the device's memory and 0\.001 GiB may be taken \(TURBOCLIP_DEVICE_MEMORY_GIB/,
    );
    const wrong = run(args, { TURBOCLIP_DEVICE_MEMORY_GIB: "all" });
    expect(await wrong.exit).toBe(1);
    expect(wrong.stderr()).toContain('TURBOCLIP_DEVICE_MEMORY_GIB is "all"; give a number of GiB above 0');
  });

  test("encodes the prompt in INT8 when it is asked to, and refuses words that it does not know", async () => {
    const file = join(folder.path, "int8.mp4");
    const args = ["render", "a red ball", "-o", file, "--json", ...SMALL];
    const command = run([...args, "--gpu", "0", "--text-encoder", "int8"]);
    expect(await command.exit, command.stderr()).toBe(0);
    const unknown = run([...args, "--gpu", "0"], { TURBOCLIP_TEXT_ENCODER: "fp4" });
    expect(await unknown.exit).toBe(1);
    expect(unknown.stderr()).toContain('TURBOCLIP_TEXT_ENCODER is "fp4"; give auto (');
    const onHost = run([...args, "--text-encoder", "int8"]);
    expect(await onHost.exit).toBe(2);
    expect(onHost.stderr()).toContain("--text-encoder int8 needs a card; give --gpu 0");
  });

  test("names a device that is none, and what to give", async () => {
    const command = run(["render", "a red ball", "-o", join(folder.path, "none.mp4"), "--gpu", "first"]);
    expect(await command.exit).toBe(2);
    expect(command.stderr()).toContain('--gpu is "first"; give "cpu", or the number of a CUDA device');
  });

  // Where nvcc has built the library and no driver is, as on most machines that build releases.
  test.skipIf(!existsSync(REAL) || existsSync("/dev/nvidiactl"))("says that there is no driver", async () => {
    const command = run(["render", "a red ball", "-o", join(folder.path, "none.mp4"), "--gpu", "0", ...SMALL], {
      TURBOCLIP_CUDA_LIBRARY: "",
    });
    expect(await command.exit).toBe(1);
    expect(command.stderr()).toMatch(/no CUDA device: .*; install NVIDIA's driver .* choose cpu/);
  });
});

describe("turboclip-runner start --gpus", () => {
  test("loses one clip with the device, and serves the next from a process that has it again", async () => {
    const runner = run(["start", "--gpus", "0"], { TURBOCLIP_EMULATED_FAULT: faultFile() });
    const first = edge.queue(REQUEST);
    await edge.until(() => first.state === "succeeded");
    expect(first.completed?.engine).toMatch(/^cuda\/\d/);
    await writeFile(faultFile(), "lost");
    const second = edge.queue(REQUEST);
    await edge.until(() => second.state === "failed");
    expect(second.failed).toMatchObject({ code: "engine_failed", retryable: true });
    expect(second.failed?.message).toMatch(/ended with status 70.*CUDA, begin_clip, .*unspecified launch failure/);
    const third = edge.queue(REQUEST);
    await edge.until(() => third.state === "succeeded");
    expect(third.completed?.outputs.mp4.sha256).toBe(first.completed?.outputs.mp4.sha256);
    runner.child.kill("SIGTERM");
    expect(await runner.exit).toBe(0);
  });

  test("does not start on a device that computes wrongly", async () => {
    await writeFile(faultFile(), "wrong");
    const runner = run(["start", "--gpus", "0"], { TURBOCLIP_EMULATED_FAULT: faultFile() });
    expect(await runner.exit).toBe(1);
    expect(runner.output()).toMatch(/CUDA device 0 \(emulated, driver for CUDA 13\.0\) is not fit to compute/);
  });
});

describe("turboclip-runner render --gpu, with a share of the device", () => {
  const sha = async (env: Readonly<Record<string, string>>, name: string) => {
    const file = join(folder.path, name);
    const command = run(["render", "a red ball", "-o", file, "--json", "--gpu", "0", ...SMALL], env);
    expect(await command.exit, command.stderr()).toBe(0);
    return JSON.parse(command.stdout()).sha256;
  };

  test("draws the same bytes with all of the blocks in the host's memory", async () => {
    const whole = await sha({}, "whole.mp4");
    expect(await sha({ TURBOCLIP_RESIDENT_BLOCKS: "0" }, "none.mp4")).toBe(whole);
  });

  test("names a setting of it that is wrong", async () => {
    const file = join(folder.path, "none.mp4");
    const command = run(["render", "a red ball", "-o", file, "--gpu", "0", ...SMALL], {
      TURBOCLIP_RESIDENT_BLOCKS: "half",
    });
    expect(await command.exit).toBe(1);
    expect(command.stderr()).toContain('TURBOCLIP_RESIDENT_BLOCKS is "half"; give how many');
  });
});

describe("turboclip-runner bench --gpu", () => {
  test("tells each stage of a first and a warm clip, the device's memory, and how busy clips in a row keep it", async () => {
    const clip = ["--size", "16x16", "--frames", "1", "--steps", "1", "--threads", "1", "--clips", "1"];
    const bench = run(["bench", "--gpu", "0", "--json", ...clip]);
    expect(await bench.exit, bench.stderr()).toBe(0);
    const measured = JSON.parse(bench.stdout());
    expect(measured).toMatchObject({ model: "turboclip-demo", device: "cuda:0", size: "16x16", decoder: "vae" });
    expect(measured.load_seconds).toBeGreaterThan(0);
    for (const clip of [measured.first, measured.warm]) {
      expect(clip.steps).toEqual([clip.timings.denoise]);
      expect(clip.sampled).toBeLessThan(clip.delivered);
      expect(clip.bytes).toBeGreaterThan(500);
      expect(Object.keys(clip.timings)).toEqual(expect.arrayContaining(["text_encode", "denoise", "decode", "encode"]));
      expect(clip.timings.text_encode).toBeGreaterThan(0.02); // a fiber a thread, where kept rows take microseconds
    }
    expect(measured.memory.peak_bytes).toBeGreaterThanOrEqual(measured.memory.held_bytes);
    expect(measured.back_to_back.clips).toBe(1);
    expect(measured.back_to_back.busy).toBeGreaterThan(0);
    expect(measured.back_to_back.busy).toBeLessThanOrEqual(1);
    expect(bench.stderr()).toMatch(/clip 1 of 3\n[\s\S]*clip 3 of 3\n/);
  });

  test("refuses a number of clips that is none", async () => {
    const command = run(["bench", "--clips", "many"]);
    expect(await command.exit).toBe(2);
    expect(command.stderr()).toContain('--clips is "many"; give a number of clips up to 1000');
  });
});

describe("turboclip-runner doctor", () => {
  test("says which card each engine has, and tries the models on it", async () => {
    const doctor = run(["doctor"], { TURBOCLIP_GPUS: "0" });
    expect(await doctor.exit, doctor.output()).toBe(0);
    expect(doctor.output()).toMatch(
      /ok {6}engine on cuda:0: cuda backend: emulated, driver for CUDA 13\.0, [\d.]+ of 8\.0 GiB free; its self-test passed\nok {6}model turboclip-demo on cuda:0: loads; a clip of 224x224 and \d+ frames takes [\d.]+ of 8\.00 GiB at the peak; all \d+ blocks on the card; text encoder on the card in bfloat16/,
    );
  });

  test("says why there is no card to use, which is no fault where none is asked for", async () => {
    const doctor = run(["doctor"], { TURBOCLIP_CUDA_LIBRARY: "/nowhere/libturboclip_cuda.so" });
    expect(await doctor.exit, doctor.output()).toBe(0);
    expect(doctor.output()).toMatch(/ok {6}cuda: .*does not open: \/nowhere/);
  });
});
