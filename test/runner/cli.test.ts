// The command as a person starts it: the real control process, the real engine process with the addon, the
// demo set, real ffmpeg; only the edge is a stand-in.
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import type { ClipRequest } from "../../shared/contract/runner.ts";
import { writeRandomModel } from "../fixtures/random-model/model-set.ts";
import { writeTinyDecoder } from "../native/tiny-decoder.ts";
import { type Command, startCommand } from "./support/command.ts";
import { type Clip, EdgeDouble } from "./support/edge-double.ts";
import { isAlive, type TestFolder, testFolder } from "./support/host.ts";
import { readMp4 } from "./support/mp4.ts";

const REQUEST: ClipRequest = {
  model: "turboclip-demo",
  prompt: "waves",
  width: 64,
  height: 64,
  frames: 9,
  steps: 2,
  sampler: "sde",
  seed: 3,
};

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
  };
  const command = startCommand(args, { ...process.env, ...settings, ...env });
  commands.push(command);
  return command;
}

function enginePid(command: Command): number {
  const pid = /"pid":(\d+),"backend":"cpu"/.exec(command.output())?.[1];
  if (pid === undefined) throw new Error(`no engine pid in ${command.output()}`);
  return Number(pid);
}

/** Heartbeats tell the latest stage only: a quick one may pass between two of them. */
const computing = (clip: Clip) =>
  edge.until(() => clip.beats.some(({ stage }) => stage === "denoise" || stage === "decode"));
const succeeded = (clip: Clip) => edge.until(() => clip.state === "succeeded");

describe("turboclip-runner start", () => {
  test("renders a clip with the real engine, and SIGTERM ends it with 0 and nothing left behind", async () => {
    const runner = run(["start"]);
    const clip = edge.queue(REQUEST);
    await succeeded(clip);
    expect(readMp4(clip.files.get("mp4") ?? Buffer.alloc(0))).toMatchObject({ width: 64, height: 64, samples: 9 });
    expect(clip.completed?.engine).toMatch(/^cpu\/\d/);
    const engine = enginePid(runner);
    runner.child.kill("SIGTERM");
    expect(await runner.exit).toBe(0);
    expect(isAlive(engine)).toBe(false);
    expect(await readdir(join(folder.path, "work"))).toEqual([]);
    expect(runner.output()).not.toContain(edge.token);
    expect(runner.output()).not.toContain("waves");
  });

  test("runs an engine for each device of --gpus, which give the same bytes", async () => {
    const runner = run(["start", "--gpus", "cpu,cpu"]);
    const long = { ...REQUEST, width: 256, height: 192, frames: 33, steps: 4 };
    const [first, second] = [edge.queue(long), edge.queue(long)];
    for (const clip of [first, second]) await computing(clip);
    // One engine alone would have taken up the second after sampling the first.
    expect(["denoise", "decode"]).toContain(first.beats.at(-1)?.stage);
    expect(["denoise", "decode"]).toContain(second.beats.at(-1)?.stage);
    for (const clip of [first, second]) await succeeded(clip);
    expect(second.completed?.outputs.mp4.sha256).toBe(first.completed?.outputs.mp4.sha256);
    runner.child.kill("SIGTERM");
    expect(await runner.exit).toBe(0);
  });

  test("decodes with TAEHV when it is told to, and records that with the clip", async () => {
    const models = await folder.fresh("with-taehv");
    writeRandomModel(join(models, "turboclip-demo"));
    await mkdir(join(models, "common"));
    writeTinyDecoder(join(models, "common", "taew2_1.pth"), 8);
    const runner = run(["start"], { TURBOCLIP_MODELS_DIR: models, TURBOCLIP_DECODER: "taehv" });
    const clip = edge.queue(REQUEST);
    await succeeded(clip);
    expect(clip.completed?.engine).toMatch(/^cpu\/[\d.]+\+taehv$/);
    expect(readMp4(clip.files.get("mp4") ?? Buffer.alloc(0))).toMatchObject({ width: 64, height: 64, samples: 9 });
    runner.child.kill("SIGTERM");
    await runner.exit;
  });

  test("gives equal bytes for an equal seed", async () => {
    const runner = run(["start"]);
    const [first, second, other] = [edge.queue(REQUEST), edge.queue(REQUEST), edge.queue({ ...REQUEST, seed: 4 })];
    for (const clip of [first, second, other]) await succeeded(clip);
    const sha = (clip: Clip) => clip.completed?.outputs.mp4.sha256;
    expect(sha(second)).toBe(sha(first));
    expect(sha(other)).not.toBe(sha(first));
    runner.child.kill("SIGTERM");
    await runner.exit;
  });

  test("stops the real engine within a block when the clip is cancelled, and goes on", async () => {
    const runner = run(["start"]);
    const long = edge.queue({ ...REQUEST, width: 256, height: 192, frames: 33, steps: 4 });
    await computing(long);
    long.cancelled = true;
    await succeeded(edge.queue(REQUEST));
    expect(long.files.size).toBe(0);
    runner.child.kill("SIGTERM");
    expect(await runner.exit).toBe(0);
  });

  test("ends with 0 when it is told to stop while it is still starting", async () => {
    const runner = run(["start"]);
    await runner.says("engine process is ready");
    runner.child.kill("SIGTERM");
    expect(await runner.exit).toBe(0);
  });

  test("is killed with kill -9 in mid-clip: its engine process goes too", async () => {
    const runner = run(["start"]);
    const clip = edge.queue({ ...REQUEST, width: 256, height: 192, frames: 33, steps: 4 });
    await computing(clip);
    const engine = enginePid(runner);
    runner.child.kill("SIGKILL");
    await vi.waitFor(() => expect(isAlive(engine)).toBe(false), { timeout: 10_000, interval: 20 });
  });

  test.each([
    ["settings that are missing", { TURBOCLIP_RUNNER_TOKEN: "" }, "TURBOCLIP_RUNNER_TOKEN is not set"],
    [
      "a models folder without a complete model",
      { TURBOCLIP_MODELS_DIR: "/nowhere" },
      "turboclip-demo: not in /nowhere/turboclip-demo",
    ],
    ["TAEHV that is asked for and not there", { TURBOCLIP_DECODER: "taehv" }, "taew2_1.pth"],
    ["an ffmpeg that is not there", { FFMPEG_PATH: "/nowhere/ffmpeg" }, "FFMPEG_PATH must name an ffmpeg"],
  ])("ends with 1 and says what to do about %s", async (_, env, message) => {
    const runner = run(["start"], env);
    expect(await runner.exit).toBe(1);
    expect(runner.output()).toContain(message);
    expect(runner.output()).not.toContain("    at ");
  });

  test("ends with 1 and names the file when a checkpoint is cut short", async () => {
    const models = await folder.fresh("cut");
    writeRandomModel(join(models, "turboclip-demo"));
    const file = join(models, "turboclip-demo", "TurboWan-Demo.pth");
    await writeFile(file, "PK\x03\x04");
    const runner = run(["start"], { TURBOCLIP_MODELS_DIR: models });
    expect(await runner.exit).toBe(1);
    expect(runner.output()).toContain(`turboclip-demo cannot be loaded: ${file}`);
  });

  test("ends with 1 when the edge does not know it", async () => {
    edge.fault("poll", { kind: "status", status: 401, code: "unauthenticated" });
    const runner = run(["start"]);
    expect(await runner.exit).toBe(1);
    expect(runner.output()).toContain("TURBOCLIP_RUNNER_ID and TURBOCLIP_RUNNER_TOKEN");
  });
});

describe("turboclip-runner doctor", () => {
  test("says what is there, having tried each", async () => {
    const doctor = run(["doctor"]);
    expect(await doctor.exit).toBe(0);
    expect(doctor.output()).toMatch(
      /ok {6}settings: rnr_[\s\S]*ok {6}ffmpeg: ffmpeg version [\s\S]*ok {6}models: turboclip-demo[\s\S]*ok {6}engine: cpu[\s\S]*ok {6}model turboclip-demo: loads/,
    );
  });

  test("says what is missing and ends with 1", async () => {
    const doctor = run(["doctor"], { TURBOCLIP_MODELS_DIR: "", FFMPEG_PATH: "/nowhere/ffmpeg" });
    expect(await doctor.exit).toBe(1);
    expect(doctor.output()).toMatch(/not ok {2}settings: TURBOCLIP_MODELS_DIR is not set/);
    expect(doctor.output()).toMatch(/not ok {2}ffmpeg: no usable ffmpeg/);
    expect(doctor.output()).toMatch(/not ok {2}models: /);
  });
});
