import { spawn } from "node:child_process";
import { once } from "node:events";
import { stat } from "node:fs/promises";
import { createInterface } from "node:readline";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { defaultSampling, type ModelOnDisk } from "../../../runner/checkpoints/find.ts";
import { type EngineHost, EngineUnusableError } from "../../../runner/engine/host.ts";
import type { Outcome } from "../../../runner/engine/protocol.ts";
import {
  fakeEngineHost,
  fakeModel,
  isAlive,
  LogBook,
  smallClip,
  type TestFolder,
  testFolder,
} from "../support/host.ts";
import { SEEDS } from "../support/seeds.ts";

let folder: TestFolder;
let model: ModelOnDisk;
let broken: ModelOnDisk;
const hosts: EngineHost[] = [];

beforeAll(async () => {
  folder = await testFolder();
  model = await fakeModel(await folder.fresh("models"));
  broken = { ...(await fakeModel(await folder.fresh("broken"), "broken")), id: "broken" };
});
afterEach(async () => {
  await Promise.all(hosts.splice(0).map((host) => host.stop()));
});
afterAll(() => folder.remove());

function host(options?: Parameters<typeof fakeEngineHost>[0]): EngineHost {
  const made = fakeEngineHost(options);
  hosts.push(made);
  return made;
}

interface Rendering {
  readonly outcome: Promise<Outcome>;
  readonly stages: string[];
  /** Resolves when the clip has passed its first step. */
  readonly stepped: Promise<void>;
  /** Resolves when its first frames are there. */
  readonly decoding: Promise<void>;
  readonly stop: AbortController;
}

async function render(engine: EngineHost, seed: number): Promise<Rendering> {
  const stages: string[] = [];
  const stepped = Promise.withResolvers<void>();
  const decoding = Promise.withResolvers<void>();
  const stop = new AbortController();
  const outcome = engine.render({
    model,
    request: smallClip(seed),
    sampling: defaultSampling(model),
    folder: await folder.fresh(`clip-${seed}-${Math.random()}`),
    signal: stop.signal,
    onProgress: ({ stage, step, steps }) => {
      stages.push(`${stage} ${step}/${steps}`);
      if (stage === "denoise" && step >= 1) stepped.resolve();
      if (stage === "decode" && step >= 1) decoding.resolve();
    },
  });
  return { outcome, stages, stepped: stepped.promise, decoding: decoding.promise, stop };
}

describe("a clip in the engine process", () => {
  test("becomes an MP4, a poster and a preview, with progress by stage and step, digests and seconds", async () => {
    const { outcome, stages } = await render(host(), 7);
    const done = await outcome;
    if (done.kind !== "rendered") throw new Error(JSON.stringify(done));
    expect(stages).toEqual([
      ...["load 0/1", "text_encode 1/1", "denoise 0/4", "denoise 1/4", "denoise 2/4", "denoise 3/4", "denoise 4/4"],
      ...["decode 1/2", "decode 2/2", "encode 0/1"],
    ]);
    for (const { path, bytes, md5, sha256 } of Object.values(done.outputs)) {
      expect((await stat(path)).size).toBe(bytes);
      expect(md5).toMatch(/^[A-Za-z0-9+/]{22}==$/);
      expect(sha256).toMatch(/^[0-9a-f]{64}$/);
    }
    expect(Object.keys(done.timings).sort()).toEqual(["decode", "denoise", "encode", "load", "text_encode"]);
  });

  test("gives the same bytes for the same frames, and the second one loads nothing", async () => {
    const engine = host();
    const outcomes = [await (await render(engine, 7)).outcome, await (await render(engine, 7)).outcome];
    const digests = outcomes.map((outcome) => outcome.kind === "rendered" && outcome.outputs.mp4.sha256);
    expect(digests[0]).toBe(digests[1]);
    expect(outcomes[1]).not.toHaveProperty("timings.load");
    expect(engine.loadedModel).toBe("turboclip-demo");
  });

  test("that is cancelled stops, and the next one is rendered by the same process", async () => {
    const engine = host();
    const first = await render(engine, SEEDS.untilCancelled);
    await first.stepped;
    const { pid } = engine;
    first.stop.abort();
    expect(await first.outcome).toEqual({ kind: "cancelled" });
    expect((await (await render(engine, 7)).outcome).kind).toBe("rendered");
    expect(engine.pid).toBe(pid);
  });

  test("that is cancelled while its frames are encoded leaves no ffmpeg behind, and the next one is rendered", async () => {
    const engine = host();
    const first = await render(engine, SEEDS.decodesUntilCancelled);
    await first.decoding;
    first.stop.abort();
    expect(await first.outcome).toEqual({ kind: "cancelled" });
    expect((await (await render(engine, 7)).outcome).kind).toBe("rendered");
  });

  test("that was cancelled before it began is not begun", async () => {
    const engine = host();
    const stop = AbortSignal.abort();
    const onProgress = vi.fn();
    const clip = { model, request: smallClip(), sampling: defaultSampling(model), folder: folder.path };
    const outcome = await engine.render({ ...clip, signal: stop, onProgress });
    expect(outcome).toEqual({ kind: "cancelled" });
    expect(onProgress).not.toHaveBeenCalled();
  });

  test("that does not stop when asked costs the process, not the runner", async () => {
    const engine = host({ times: { cancelMs: 20 } });
    const first = await render(engine, SEEDS.deafToCancel);
    await first.stepped;
    first.stop.abort();
    expect(await first.outcome).toMatchObject({ kind: "failed", failure: { retryable: true } });
    expect((await (await render(engine, 7)).outcome).kind).toBe("rendered");
  });

  test("that the engine cannot hold in memory fails, and may be tried again", async () => {
    const { outcome } = await render(host(), SEEDS.outOfMemory);
    expect(await outcome).toEqual({
      kind: "failed",
      failure: { code: "engine_failed", message: "12 GiB were asked for and 3 GiB are free", retryable: true },
    });
  });
});

describe("an engine process that is killed with kill -9", () => {
  test("in mid-decode, with frames in ffmpeg already, costs the attempt, and the next clip is whole", async () => {
    const engine = host();
    const first = await render(engine, SEEDS.diesDecoding);
    expect(await first.outcome).toMatchObject({ kind: "failed", failure: { code: "engine_failed", retryable: true } });
    expect(first.stages.at(-1)).toBe("decode 1/2");
    const again = await (await render(engine, 7)).outcome;
    const other = await (await render(host(), 7)).outcome;
    if (again.kind !== "rendered" || other.kind !== "rendered") throw new Error(JSON.stringify([again, other]));
    expect(again.outputs.mp4.sha256).toBe(other.outputs.mp4.sha256);
  });

  test("in mid-clip costs the attempt at once, and a new process renders the next", async () => {
    const engine = host();
    const first = await render(engine, SEEDS.untilCancelled);
    await first.stepped;
    const { pid } = engine;
    if (pid === undefined) throw new Error("no engine process");
    process.kill(pid, "SIGKILL");
    expect(await first.outcome).toMatchObject({
      kind: "failed",
      failure: { code: "engine_failed", retryable: true, message: expect.stringContaining("SIGKILL") },
    });
    expect((await (await render(engine, 7)).outcome).kind).toBe("rendered");
    expect(engine.pid).not.toBe(pid);
  });

  test("by each clip it gets is started again each time", async () => {
    const engine = host();
    for (let i = 0; i < 3; i++) expect((await (await render(engine, SEEDS.dies)).outcome).kind).toBe("failed");
    expect((await (await render(engine, 7)).outcome).kind).toBe("rendered");
  });

  test("while idle is started again", async () => {
    const log = new LogBook();
    const engine = host({ log });
    await engine.whenReady();
    const { pid } = engine;
    process.kill(pid ?? 0, "SIGKILL");
    await log.until("SIGKILL");
    expect((await (await render(engine, 7)).outcome).kind).toBe("rendered");
    expect(engine.pid).not.toBe(pid);
  });
});

describe("an engine process", () => {
  test("that sends what is no message of the protocol is replaced", async () => {
    const engine = host();
    expect(await (await render(engine, SEEDS.talksNonsense)).outcome).toMatchObject({ kind: "failed" });
    expect((await (await render(engine, 7)).outcome).kind).toBe("rendered");
  });

  test("says which tensor of a broken checkpoint is wrong, and that trying again does not help", async () => {
    const outcome = await host().load(broken);
    expect(outcome).toMatchObject({
      kind: "failed",
      failure: { retryable: false, message: expect.stringContaining("patch_embedding.weight is missing") },
    });
  });

  test("takes the good model after a broken one", async () => {
    const engine = host();
    expect((await engine.load(broken)).kind).toBe("failed");
    expect(engine.loadedModel).toBeNull();
    expect((await engine.load(model)).kind).toBe("loaded");
    expect(engine.loadedModel).toBe("turboclip-demo");
  });

  test("that cannot work on this host says why and is not started for ever", async () => {
    await expect(host({ mode: "unusable" }).whenReady()).rejects.toThrow(EngineUnusableError);
    await expect(host({ mode: "unusable" }).whenReady()).rejects.toThrow("turboclip.node does not load");
    await expect(host({ mode: "dies at start" }).whenReady()).rejects.toThrow("ended with status 3");
  });

  test("does not see the runner's token", async () => {
    // The stand-in's environment is read from outside, as any process of this user can.
    const { readFile } = await import("node:fs/promises");
    process.env.TURBOCLIP_RUNNER_TOKEN = "tcr_secret";
    try {
      const engine = host();
      await engine.whenReady();
      expect(await readFile(`/proc/${engine.pid}/environ`, "utf8")).not.toContain("tcr_secret");
    } finally {
      delete process.env.TURBOCLIP_RUNNER_TOKEN;
    }
  });

  test("ends when the control process is killed with kill -9, even in mid-clip", async () => {
    const script = new URL("../support/orphan-maker.ts", import.meta.url).pathname;
    const clip = await folder.fresh("orphan");
    const control = spawn(process.execPath, [script, JSON.stringify({ model, folder: clip })], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = await once(createInterface({ input: control.stdout }), "line");
    const enginePid = Number(line);
    expect(isAlive(enginePid)).toBe(true);
    control.kill("SIGKILL");
    await vi.waitFor(() => expect(isAlive(enginePid)).toBe(false), { timeout: 10_000, interval: 20 });
  });
});
