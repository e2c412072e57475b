import { createHash } from "node:crypto";
import { readdir } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { NotAdmittedError } from "../../../runner/control/poller.ts";
import { OUTPUT_KINDS } from "../../../shared/contract/runner.ts";
import { type Clip, EdgeDouble } from "../support/edge-double.ts";
import { smallClip, type TestFolder, testFolder } from "../support/host.ts";
import { type RunnerOptions, type RunningRunner, startTestRunner } from "../support/running-runner.ts";
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

async function start(options: Partial<RunnerOptions> = {}): Promise<RunningRunner> {
  runner = await startTestRunner({ edge, folder, ...options });
  return runner;
}

const succeeded = (clip: Clip) => edge.until(() => clip.state === "succeeded");
const stepped = (clip: Clip) => edge.until(() => clip.beats.some((beat) => beat.stage === "denoise" && beat.step >= 1));

describe("a clip", () => {
  test("is acknowledged, rendered, uploaded by signed PUT and completed with what was uploaded", async () => {
    const { workFolder, log } = await start();
    const clip = edge.queue(smallClip());
    await succeeded(clip);
    expect(clip.beats[0]).toEqual({ stage: "load", step: 0, steps: 1 });
    for (const kind of OUTPUT_KINDS) {
      const file = clip.files.get(kind) ?? Buffer.alloc(0);
      expect(clip.completed?.outputs[kind]).toEqual({
        bytes: file.length,
        md5: createHash("md5").update(file).digest("base64"),
        sha256: createHash("sha256").update(file).digest("hex"),
      });
    }
    expect(clip.files.get("mp4")?.subarray(4, 8).toString()).toBe("ftyp");
    expect(clip.completed?.engine).toBe("fake/0.1.0");
    expect(clip.completed?.model_version).toMatch(/^TurboWan-Demo@[0-9a-f]{12}$/);
    expect(Object.keys(clip.completed?.timings ?? {}).sort()).toEqual([
      "decode",
      "denoise",
      "encode",
      "load",
      "text_encode",
      "upload",
    ]);
    await log.until("attempt ends");
    expect(await readdir(workFolder.path)).toEqual([]);
  });

  test.each([
    ["an edge that does not say what it takes", null],
    ["an edge that takes no preview, but something unknown", ["mp4", "poster", "hologram"]],
  ])("goes as MP4 and poster to %s", async (_, outputs) => {
    await start();
    const clip = edge.queue(smallClip(), 1, outputs);
    await succeeded(clip);
    expect(Array.from(clip.files.keys())).toEqual(["mp4", "poster"]);
    expect(Object.keys(clip.completed?.outputs ?? {})).toEqual(["mp4", "poster"]);
  });

  test("is followed by the next, and the token travels with every call but the signed PUT", async () => {
    await start();
    for (const clip of [edge.queue(smallClip(1)), edge.queue(smallClip(2))]) await succeeded(clip);
    for (const { call, authorization } of edge.seen) {
      expect(authorization).toBe(call === "put" ? undefined : `Bearer ${edge.token}`);
    }
  });

  test("keeps sending heartbeats while it computes, one at a time, each with where it is", async () => {
    await start({ heartbeatMs: 5 });
    const clip = edge.queue(smallClip(SEEDS.untilCancelled));
    await edge.until(() => clip.beats.filter((beat) => beat.stage === "denoise").length >= 5);
    expect(clip.beats.at(-1)).toEqual({ stage: "denoise", step: 1, steps: 4, fraction: 0.25 });
  });

  test("whose engine is short of memory is reported as failed, to be tried again", async () => {
    await start();
    const clip = edge.queue(smallClip(SEEDS.outOfMemory));
    await edge.until(() => clip.state === "failed");
    expect(clip.failed).toEqual({
      code: "engine_failed",
      message: "12 GiB were asked for and 3 GiB are free",
      retryable: true,
    });
  });

  test("of a model that this runner does not have is given back as a failure for another runner", async () => {
    await start();
    const clip = edge.queue({ ...smallClip(), model: "turbowan2.1-t2v-14b-720p" });
    await edge.until(() => clip.state === "failed");
    expect(clip.failed).toMatchObject({ code: "no_capacity", retryable: true });
  });

  test("does not leave its prompt, its token or a signed URL in the log", async () => {
    const { log } = await start();
    edge.fault("put", { kind: "status", status: 500 });
    edge.fault("heartbeat", { kind: "drop" });
    await succeeded(edge.queue(smallClip()));
    const text = JSON.stringify(log.lines);
    expect(text).toContain("clip_");
    for (const secret of ["a red ball", edge.token, "lease-0", "signature"]) expect(text).not.toContain(secret);
  });
});

describe("kill -9 of the engine process in mid-clip", () => {
  test("is reported at once as a failure to try again, and the next attempt succeeds", async () => {
    const { engine } = await start();
    const first = edge.queue(smallClip(SEEDS.untilCancelled));
    await stepped(first);
    process.kill(engine.pid ?? 0, "SIGKILL");
    await edge.until(() => first.state === "failed");
    expect(first.failed).toMatchObject({ code: "engine_failed", retryable: true });
    await succeeded(edge.queue(smallClip(), 2));
  });
});

describe("a clip that is not wanted any more", () => {
  test("because it was cancelled stops the engine, and nothing is uploaded or reported", async () => {
    await start();
    const clip = edge.queue(smallClip(SEEDS.untilCancelled));
    await stepped(clip);
    clip.cancelled = true;
    await succeeded(edge.queue(smallClip()));
    expect([clip.files.size, clip.completed, clip.failed]).toEqual([0, undefined, undefined]);
  });

  test("because its lease was lost stops the engine, and the runner goes on", async () => {
    await start();
    const clip = edge.queue(smallClip(SEEDS.untilCancelled));
    await stepped(clip);
    clip.lost = true;
    await succeeded(edge.queue(smallClip()));
    expect(clip.files.size).toBe(0);
  });

  test("when its upload is asked for is dropped", async () => {
    await start();
    edge.fault("uploads", { kind: "status", status: 409, code: "lease_lost" });
    const clip = edge.queue(smallClip(1));
    // The files of two clips are made side by side, and either's may be done first.
    await edge.until(() => edge.count("uploads") === 1);
    await succeeded(edge.queue(smallClip(2)));
    expect([clip.files.size, clip.completed, clip.failed]).toEqual([0, undefined, undefined]);
  });
});

describe("an edge that loses answers", () => {
  test("to a poll is asked again with the same nonce, and gives the same clip", async () => {
    await start();
    edge.fault("poll", { kind: "drop answer" });
    const clip = edge.queue(smallClip());
    await succeeded(clip);
    await edge.until(() => edge.count("poll") === 3);
    const nonces = edge.seen.filter(({ call }) => call === "poll").map(({ body }) => (body as { nonce: string }).nonce);
    expect(nonces[1]).toBe(nonces[0]);
    expect(nonces[2]).not.toBe(nonces[1]);
  });

  test.each(["heartbeat", "uploads", "put", "complete"] as const)("to %s still gets the clip, once", async (call) => {
    await start();
    edge.fault(call, { kind: "drop answer" }, 2);
    const clip = edge.queue(smallClip());
    await succeeded(clip);
    expect(clip.files.size).toBe(OUTPUT_KINDS.length);
    expect(clip.failed).toBeUndefined();
    if (call !== "heartbeat") await edge.until(() => edge.count(call) > 2);
  });

  test("to a failure is told again", async () => {
    await start();
    edge.fault("fail", { kind: "drop" }, 2);
    const clip = edge.queue(smallClip(SEEDS.outOfMemory));
    await edge.until(() => clip.state === "failed");
    expect(edge.count("fail")).toBe(3);
  });
});

describe("an edge that is unwell", () => {
  test.each(["poll", "heartbeat", "uploads", "put", "complete"] as const)(
    "and answers %s with 503 is asked again",
    async (call) => {
      await start();
      edge.fault(call, { kind: "status", status: 503 }, 3);
      const clip = edge.queue(smallClip());
      await succeeded(clip);
      expect(clip.failed).toBeUndefined();
    },
  );

  test.each(["poll", "heartbeat", "uploads"] as const)(
    "and answers %s with what the contract does not have is asked again",
    async (call) => {
      await start();
      edge.fault(call, { kind: "garbage" }, 2);
      await succeeded(edge.queue(smallClip()));
    },
  );

  test("and does not find an upload gets it again", async () => {
    await start();
    edge.fault("complete", { kind: "status", status: 409, code: "upload_missing" });
    const clip = edge.queue(smallClip());
    await succeeded(clip);
    expect(edge.count("put")).toBe(2 * OUTPUT_KINDS.length);
  });

  test("and rejects an upload is told that the attempt failed", async () => {
    await start();
    edge.fault("complete", { kind: "status", status: 422, code: "upload_rejected" });
    const clip = edge.queue(smallClip());
    await edge.until(() => clip.state === "failed");
    expect(clip.failed).toMatchObject({ code: "upload_rejected", retryable: true });
  });

  test("for ever is given up on, and the runner goes on with the next clip", async () => {
    await start({ giveUpMs: 30 });
    edge.fault("complete", { kind: "status", status: 503 }, 1_000);
    const clip = edge.queue(smallClip());
    await edge.until(() => clip.state === "failed");
    expect(clip.failed).toMatchObject({ code: "internal", retryable: true });
  });
});

describe("an edge that is down", () => {
  test("while the clip is computed does not lose it: it is uploaded when the edge is back", async () => {
    const { log } = await start();
    const clip = edge.queue(smallClip());
    await edge.until(() => clip.beats.length > 0);
    await edge.down();
    await log.until("upload of the mp4 failed", 3);
    await edge.up();
    await succeeded(clip);
    expect(edge.clips).toHaveLength(1);
  });

  test("and has taken the lease back meanwhile is believed: the finished clip is dropped", async () => {
    const { log } = await start();
    const clip = edge.queue(smallClip());
    await edge.until(() => clip.beats.length > 0);
    await edge.down();
    await log.until("upload of the mp4 failed");
    clip.lost = true;
    await edge.up();
    await succeeded(edge.queue(smallClip()));
    expect(clip.completed).toBeUndefined();
  });

  test("when the runner starts is polled until it is there", async () => {
    await edge.down();
    const { log } = await start();
    await log.until("poll failed", 3);
    await edge.up();
    await succeeded(edge.queue(smallClip()));
  });

  test("refuses the runner's token at the first poll: the runner ends and says what to check", async () => {
    edge.fault("poll", { kind: "status", status: 401, code: "unauthenticated" });
    const { done } = await start();
    await expect(done).rejects.toThrow(NotAdmittedError);
    await expect(done).rejects.toThrow("TURBOCLIP_RUNNER_TOKEN");
  });

  test("refuses the runner's version: the runner ends and blames no token", async () => {
    edge.fault("poll", { kind: "status", status: 409, code: "version_unsupported" });
    const { done } = await start();
    await expect(done).rejects.toThrow(NotAdmittedError);
    await expect(done).rejects.not.toThrow("TURBOCLIP_RUNNER_TOKEN");
  });

  test("drains the runner: it stays, says so once, and works again when it is resumed", async () => {
    edge.fault("poll", { kind: "drained" }, 3);
    const { log } = await start();
    await succeeded(edge.queue(smallClip()));
    expect(edge.count("poll")).toBeGreaterThanOrEqual(4);
    const told = log.lines.map(({ message }) => message).filter((message) => /drained by|^resumed/.test(message));
    expect(told).toEqual(["drained by the operator: no more clips until resumed", "resumed"]);
  });

  test("is told with every poll what the runner is", async () => {
    await start({ engineCount: 1 });
    await edge.until(() => edge.count("poll") === 1);
    expect(edge.seen[0]?.body).toMatchObject({ version: "0.1.0", engine: "fake/0.1.0", devices: ["cpu"] });
  });

  test("refuses the token later on: the runner keeps asking, since that may be mended there", async () => {
    await start();
    await succeeded(edge.queue(smallClip(1)));
    edge.fault("poll", { kind: "status", status: 401, code: "unauthenticated" }, 2);
    edge.queue(smallClip(2));
    await succeeded(edge.queue(smallClip(3)));
  });
});

describe("draining", () => {
  test("an idle runner ends at once, its parked poll with it", async () => {
    const { drain, done } = await start();
    await edge.until(() => edge.count("poll") === 1);
    drain.abort();
    await done;
  });

  test("finishes the running clip and takes no other", async () => {
    const { drain, done } = await start();
    const clip = edge.queue(smallClip(1));
    await edge.until(() => clip.beats.length > 0);
    const other = edge.queue(smallClip(2));
    drain.abort();
    await done;
    expect([clip.state, other.state]).toEqual(["succeeded", "queued"]);
  });

  test("hands back a clip that takes too long", async () => {
    const { drain, done } = await start({ runnerTimes: { drainMs: 10 } });
    const clip = edge.queue(smallClip(SEEDS.untilCancelled));
    await stepped(clip);
    drain.abort();
    await done;
    expect(clip.state).toBe("released");
  });

  test("hands the clip back at once on the second signal", async () => {
    const { drain, release, done } = await start();
    const clip = edge.queue(smallClip(SEEDS.untilCancelled));
    await stepped(clip);
    drain.abort();
    release.abort();
    await done;
    expect(clip.state).toBe("released");
    expect(clip.failed).toBeUndefined();
  });

  test("ends even if the edge is away: the lease then runs out by itself", async () => {
    const { drain, release, done, log } = await start();
    const clip = edge.queue(smallClip(SEEDS.untilCancelled));
    await stepped(clip);
    await edge.down();
    drain.abort();
    release.abort();
    await done;
    await log.until("could not be handed back");
  });
});
