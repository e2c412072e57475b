// Several engines under one runner id, with stand-in engine processes.
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { NotAdmittedError } from "../../../runner/control/poller.ts";
import { type Clip, EdgeDouble } from "../support/edge-double.ts";
import { smallClip, type TestFolder, testFolder } from "../support/host.ts";
import { type RunningRunner, startTestRunner } from "../support/running-runner.ts";
import { SEEDS } from "../support/seeds.ts";

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

async function start(engineCount: number): Promise<RunningRunner> {
  runner = await startTestRunner({ edge, folder, engineCount, heartbeatMs: 5 });
  return runner;
}

const denoising = (clip: Clip) => edge.until(() => clip.beats.at(-1)?.stage === "denoise");
const ended = (clip: Clip, state: Clip["state"]) => edge.until(() => clip.state === state);
const forEver = () => edge.queue(smallClip(SEEDS.untilCancelled));

describe("a runner with several engines", () => {
  test("samples as many clips at once, each under a claim of its own", async () => {
    await start(3);
    const clips = [forEver(), forEver(), forEver(), forEver()];
    const [first, second, third, fourth] = clips as [Clip, Clip, Clip, Clip];
    for (const clip of [first, second, third]) await denoising(clip);
    expect(fourth.state).toBe("queued");
    first.cancelled = true;
    await denoising(fourth);
    expect([second.state, third.state]).toEqual(["leased", "leased"]);
  });

  test("loses only the clip of the engine that is killed, and that engine comes back", async () => {
    const { engines } = await start(2);
    const clips = [forEver(), forEver()];
    for (const clip of clips) await denoising(clip);
    process.kill(engines[0]?.pid ?? 0, "SIGKILL");
    await edge.until(() => clips.some((clip) => clip.state === "failed"));
    const [other] = clips.filter((clip) => clip.state !== "failed");
    const beats = other?.beats.length ?? 0;
    await edge.until(() => (other?.beats.length ?? 0) > beats + 2);
    await ended(edge.queue(smallClip(1)), "succeeded");
    expect(clips.map((clip) => clip.state).sort()).toEqual(["failed", "leased"]);
  });

  test("drains all of them: each finishes its clip, none takes another", async () => {
    const { drain, done } = await start(2);
    edge.fault("put", { kind: "status", status: 503 }, 100_000);
    // Two for each engine: one that cannot be delivered, and one behind it, so that neither engine asks for more.
    const clips = [1, 2, 3, 4].map((seed) => edge.queue(smallClip(seed)));
    for (const clip of clips) await edge.until(() => clip.beats.at(-1)?.stage === "upload");
    const late = edge.queue(smallClip(5));
    drain.abort();
    edge.heal();
    await done;
    expect(clips.map((clip) => clip.state)).toEqual(Array(4).fill("succeeded"));
    expect(late.state).toBe("queued");
  });

  test("hands all their clips back when it is told to stop at once", async () => {
    const { drain, release, done } = await start(2);
    const clips = [forEver(), forEver()];
    for (const clip of clips) await denoising(clip);
    drain.abort();
    release.abort();
    await done;
    expect(clips.map((clip) => clip.state)).toEqual(["released", "released"]);
  });

  test("ends as a whole when the edge does not know it", async () => {
    edge.fault("poll", { kind: "status", status: 401, code: "unauthenticated" }, 2);
    const { done } = await start(2);
    await expect(done).rejects.toBeInstanceOf(NotAdmittedError);
  });
});
