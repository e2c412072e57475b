// Encoding and delivering one clip while the next is sampled, with the stand-in engine process.
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Clip, EdgeDouble } from "../support/edge-double.ts";
import { smallClip, type TestFolder, testFolder } from "../support/host.ts";
import { type RunnerOptions, type RunningRunner, startTestRunner } from "../support/running-runner.ts";
import { SEEDS } from "../support/seeds.ts";
import { fullDiskFfmpeg, heldFfmpeg } from "../support/stand-in-ffmpeg.ts";

let edge: EdgeDouble;
let folder: TestFolder;
let runner: RunningRunner | undefined;

beforeEach(async () => {
  edge = await EdgeDouble.start();
  folder = await testFolder();
});
afterEach(async () => {
  await runner?.stop();
  runner = undefined;
  await edge.down();
  await folder.remove();
});

async function start(options: Partial<RunnerOptions> = {}): Promise<RunningRunner> {
  runner = await startTestRunner({ edge, folder, heartbeatMs: 5, ...options });
  return runner;
}

const inStage = (clip: Clip, stage: string) => edge.until(() => clip.beats.at(-1)?.stage === stage);
const ended = (clip: Clip, state: Clip["state"]) => edge.until(() => clip.state === state);
const STORE_AWAY = { kind: "status", status: 503 } as const;

/** Both attempts get heartbeats from here on. */
async function bothBeat(first: Clip, second: Clip): Promise<void> {
  const [before, after] = [first.beats.length, second.beats.length];
  await edge.until(() => first.beats.length > before + 2 && second.beats.length > after + 2);
}

describe("while a clip is delivered", () => {
  test("the next one is asked for and sampled, and both leases are kept", async () => {
    await start();
    edge.fault("put", STORE_AWAY, 100_000);
    const first = edge.queue(smallClip(1));
    await inStage(first, "upload");
    const second = edge.queue(smallClip(SEEDS.untilCancelled));
    await inStage(second, "denoise");
    await bothBeat(first, second);
    edge.heal();
    await ended(first, "succeeded");
    expect(second.state).toBe("leased");
  });

  test("at most one more is sampled: a third waits until the first is delivered", async () => {
    await start();
    edge.fault("put", STORE_AWAY, 100_000);
    const [first, second, third] = [edge.queue(smallClip(1)), edge.queue(smallClip(2)), edge.queue(smallClip(3))];
    await inStage(second, "upload");
    const tries = edge.count("put");
    await edge.until(() => edge.count("put") > tries + 10);
    expect([first.state, second.state, third.state]).toEqual(["leased", "leased", "queued"]);
    expect(edge.count("poll")).toBe(2);
    edge.heal();
    for (const clip of [first, second, third]) await ended(clip, "succeeded");
  });

  test("cancelling it leaves the one that is sampled alone, and frees its place", async () => {
    await start();
    edge.fault("put", STORE_AWAY, 100_000);
    const first = edge.queue(smallClip(1));
    await inStage(first, "upload");
    const second = edge.queue(smallClip(2));
    await inStage(second, "upload");
    first.cancelled = true;
    const third = edge.queue(smallClip(3));
    await inStage(third, "upload");
    edge.heal();
    for (const clip of [second, third]) await ended(clip, "succeeded");
    expect([first.completed, first.failed]).toEqual([undefined, undefined]);
  });

  test("cancelling the one that is sampled leaves it alone", async () => {
    const held = await heldFfmpeg(folder.path);
    await start({ ffmpeg: held.path });
    const first = edge.queue(smallClip(1));
    await inStage(first, "encode");
    const second = edge.queue(smallClip(SEEDS.untilCancelled));
    await inStage(second, "denoise");
    second.cancelled = true;
    const third = edge.queue(smallClip(SEEDS.untilCancelled));
    await inStage(third, "denoise");
    await held.letGo();
    await ended(first, "succeeded");
  });

  test("a failure of the one that is sampled leaves it alone", async () => {
    const held = await heldFfmpeg(folder.path);
    await start({ ffmpeg: held.path });
    const first = edge.queue(smallClip(1));
    await inStage(first, "encode");
    await ended(edge.queue(smallClip(SEEDS.outOfMemory)), "failed");
    await held.letGo();
    await ended(first, "succeeded");
  });
});

describe("while a clip is sampled", () => {
  test("the next one is asked for before the engine is free, and begins when it is", async () => {
    const { log } = await start();
    const [first, second] = [edge.queue(smallClip(1)), edge.queue(smallClip(2))];
    for (const clip of [first, second]) await ended(clip, "succeeded");
    await log.until("engine use", 2);
    const uses = log.lines.filter(({ message }) => message === "engine use").map(({ fields }) => fields);
    expect(uses).toEqual([
      expect.objectContaining({ clips: 1, busy_s: 0.06 }),
      expect.objectContaining({ clips: 2, busy_s: 0.12, busy_share: expect.any(Number) }),
    ]);
  });
});

describe("an upload", () => {
  test("tells with its heartbeats how much of the files has gone out", async () => {
    await start();
    edge.fault("complete", { kind: "status", status: 503 }, 100_000);
    const clip = edge.queue(smallClip(1));
    const fractions = () => clip.beats.filter(({ stage }) => stage === "upload").map((beat) => beat.fraction);
    await edge.until(() => fractions().at(-1) === 1);
    expect(fractions()).toEqual(fractions().toSorted((a, b) => (a ?? 0) - (b ?? 0)));
    edge.heal();
    await ended(clip, "succeeded");
  });
});

describe("while a clip is encoded", () => {
  test("kill -9 of the engine process fails it and the one that is sampled, both to be tried again", async () => {
    const held = await heldFfmpeg(folder.path);
    const { engine } = await start({ ffmpeg: held.path });
    const first = edge.queue(smallClip(1));
    await inStage(first, "encode");
    const second = edge.queue(smallClip(SEEDS.untilCancelled));
    await inStage(second, "denoise");
    process.kill(engine.pid ?? 0, "SIGKILL");
    for (const clip of [first, second]) {
      await ended(clip, "failed");
      expect(clip.failed).toMatchObject({ code: "engine_failed", retryable: true });
      expect(clip.failed?.message).toContain("SIGKILL");
    }
    await held.letGo();
    await ended(edge.queue(smallClip(1), 2), "succeeded");
  });

  test("cancelling it stops ffmpeg, and the one that is sampled goes on in the same process", async () => {
    const held = await heldFfmpeg(folder.path);
    const { engine, log } = await start({ ffmpeg: held.path });
    const first = edge.queue(smallClip(1));
    await inStage(first, "encode");
    const second = edge.queue(smallClip(SEEDS.untilCancelled));
    await inStage(second, "denoise");
    const { pid } = engine;
    first.cancelled = true;
    await log.until("attempt ends");
    const beats = second.beats.length;
    await edge.until(() => second.beats.length > beats + 2);
    expect(engine.pid).toBe(pid);
    expect([first.completed, first.failed]).toEqual([undefined, undefined]);
  });

  test("a disk that is full fails it, to be tried again, and the runner goes on", async () => {
    await start({ ffmpeg: await fullDiskFfmpeg(folder.path) });
    const clip = edge.queue(smallClip(1));
    await ended(clip, "failed");
    expect(clip.failed).toMatchObject({ code: "engine_failed", retryable: true });
    expect(clip.failed?.message).toMatch(/^the disk is full: .*No space left on device/);
    await ended(edge.queue(smallClip(2)), "failed");
  });
});

describe("draining", () => {
  test("finishes the clip that is delivered and the one that is sampled, and takes no third", async () => {
    const held = await heldFfmpeg(folder.path);
    const { drain, done } = await start({ ffmpeg: held.path });
    const [first, second, third] = [edge.queue(smallClip(1)), edge.queue(smallClip(2)), edge.queue(smallClip(3))];
    await inStage(first, "encode");
    await inStage(second, "encode");
    drain.abort();
    await held.letGo();
    await done;
    expect([first.state, second.state, third.state]).toEqual(["succeeded", "succeeded", "queued"]);
  });

  test("hands both back at the second signal", async () => {
    const held = await heldFfmpeg(folder.path);
    const { drain, release, done } = await start({ ffmpeg: held.path });
    const first = edge.queue(smallClip(1));
    await inStage(first, "encode");
    const second = edge.queue(smallClip(SEEDS.untilCancelled));
    await inStage(second, "denoise");
    drain.abort();
    release.abort();
    await done;
    expect([first.state, second.state]).toEqual(["released", "released"]);
  });
});
