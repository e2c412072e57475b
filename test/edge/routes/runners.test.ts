import { beforeEach, describe, expect, it, vi } from "vitest";
import { theDispatcher } from "../../../edge/platform/objects.ts";
import { fleetSchema } from "../../../shared/contract/admin.ts";
import {
  attemptEndReplySchema,
  claimSchema,
  DRAIN_HEADER,
  uploadReplySchema,
} from "../../../shared/contract/runner.ts";
import { env } from "../support/env.ts";
import { call, expectProblem } from "../support/http.ts";
import { everything, expectInvariants } from "../support/invariants.ts";
import { admin, claimOne, newRunner, newTenant, pollBody, pollOnce, type TestRunner } from "../support/tenant.ts";
import { completion, DEMO, freshDeployment, freshNonce, LOADING } from "../support/world.ts";

beforeEach(freshDeployment);

async function orderOne(): Promise<void> {
  const tenant = await newTenant();
  await (await call("POST", "/v1/clips", { token: tenant.key, body: { model: DEMO, prompt: "a red ball" } })).text();
}

async function attempt(runner: TestRunner, token: string, action: string, body?: unknown): Promise<Response> {
  const path = `/runner/v1/attempts/${token}/${action}`;
  return await call("POST", path, { token: runner.token, ...(body !== undefined && { body }) });
}

describe("POST /runner/v1/poll", () => {
  it("answers 204 without a clip and 200 with the claim", async () => {
    const runner = await newRunner();
    expect((await pollOnce(runner)).status).toBe(204);
    await orderOne();
    const answer = await pollOnce(runner);
    expect(answer.status).toBe(200);
    expect(claimSchema.strict().parse(await answer.json())).toMatchObject({ attempt: 1, request: { model: DEMO } });
  });

  it("gives the same bytes for the same nonce", async () => {
    await orderOne();
    const runner = await newRunner();
    const nonce = freshNonce();
    const [first, again] = [await pollOnce(runner, { nonce }), await pollOnce(runner, { nonce })];
    expect(await again.text()).toBe(await first.text());
  });

  it("notes when the runner was seen and what it said", async () => {
    const runner = await newRunner();
    await pollOnce(runner, { loaded_model: DEMO, version: "0.2.0" });
    const row = await env.DB.prepare("select * from runners where id = ?").bind(runner.id).first();
    expect(row).toMatchObject({ models: JSON.stringify([DEMO]), loaded_model: DEMO, version: "0.2.0" });
    expect(row?.last_seen_ms).toBeGreaterThan(Date.now() - 60_000);
  });

  it("ignores members that it does not know, so that neighbouring versions can talk", async () => {
    expect((await pollOnce(await newRunner(), { driver: "580.1" })).status).toBe(204);
  });

  it("refuses a version that is too far away", async () => {
    await expectProblem(await pollOnce(await newRunner(), { version: "9.0.0" }), "version_unsupported", "/version");
  });

  it("tells a drained runner so and gives it nothing, while its heartbeats tell it too", async () => {
    await orderOne();
    const runner = await newRunner();
    const { lease_token } = await claimOne(runner);
    await orderOne();
    expect((await admin("POST", `/runners/${runner.id}/drain`)).status).toBe(204);
    const answer = await pollOnce(runner, { wait_s: 25 });
    expect(answer.status).toBe(204);
    expect(answer.headers.get(DRAIN_HEADER)).toBe("1");
    expect(await (await attempt(runner, lease_token, "heartbeat", LOADING)).json()).toMatchObject({ drain: true });
    const fleet = fleetSchema.parse(await (await admin("GET", "/runners")).json());
    expect(fleet.data).toMatchObject([{ id: runner.id, state: "draining", attempts: [{ stage: "load" }] }]);
    expect((await admin("POST", `/runners/${runner.id}/resume`)).status).toBe(204);
    expect((await pollOnce(runner)).status).toBe(200);
    expect(await (await attempt(runner, lease_token, "heartbeat", LOADING)).json()).toMatchObject({ drain: false });
    await expectProblem(await admin("POST", "/runners/rnr_01j9z3k4m5n6p7q8r9s0t1v2w3/drain"), "not_found");
  });

  it("ends a parked poll when its runner is drained, and the clip goes to another", async () => {
    const [drained, other] = [await newRunner(), await newRunner()];
    const parked = pollOnce(drained, { wait_s: 25 });
    await vi.waitFor(async () => expect(await theDispatcher(env.DISPATCHER).waiting()).toBe(1));
    await admin("POST", `/runners/${drained.id}/drain`);
    expect((await parked).status).toBe(204);
    await orderOne();
    expect((await pollOnce(other)).status).toBe(200);
  });

  it("refuses another runner's id, and what is no poll", async () => {
    const [one, two] = [await newRunner(), await newRunner()];
    await expectProblem(await pollOnce(one, { runner_id: two.id }), "invalid_request", "/runner_id");
    await expectProblem(await pollOnce(one, { nonce: "short" }), "invalid_request", "/nonce");
    await expectProblem(await pollOnce(one, { models: [] }), "invalid_request", "/models");
  });

  it("takes a runner's token only: no customer's key, and the reverse", async () => {
    const [tenant, runner] = [await newTenant(), await newRunner()];
    const body = pollBody(runner);
    await expectProblem(await call("POST", "/runner/v1/poll", { token: tenant.key, body }), "unauthenticated");
    await expectProblem(await call("POST", "/runner/v1/poll", { body }), "unauthenticated");
    await expectProblem(await call("GET", "/v1/models", { token: runner.token }), "unauthenticated");
  });
});

describe("an attempt over HTTP", () => {
  it("goes from claim over heartbeat and upload to complete", async () => {
    await orderOne();
    const runner = await newRunner();
    const { lease_token, clip_id } = await claimOne(runner);
    const beat = await attempt(runner, lease_token, "heartbeat", LOADING);
    expect(await beat.json()).toMatchObject({ cancel: false });
    const { outputs } = await completion();
    const wanted = { kind: "mp4", type: "video/mp4", bytes: outputs.mp4.bytes, md5: outputs.mp4.md5 };
    const signed = await attempt(runner, lease_token, "uploads", wanted);
    const { url, headers } = uploadReplySchema.parse(await signed.json());
    expect(url).toContain(`/turboclip-clips/clips/${clip_id}/1/clip.mp4?`);
    expect(headers["content-length"]).toBe("4");
    await expectProblem(
      await attempt(runner, lease_token, "complete", await completion()),
      "upload_missing",
      "/outputs/mp4",
    );
    await env.BUCKET.put(`clips/${clip_id}/1/clip.mp4`, "clip");
    await env.BUCKET.put(`clips/${clip_id}/1/poster.jpg`, "JPG");
    await expectProblem(
      await attempt(runner, lease_token, "complete", await completion()),
      "upload_rejected",
      "/outputs/poster/md5",
    );
    await env.BUCKET.put(`clips/${clip_id}/1/poster.jpg`, "jpg");
    const done = await attempt(runner, lease_token, "complete", await completion());
    expect(attemptEndReplySchema.parse(await done.json())).toEqual({ state: "succeeded" });
    await expectInvariants();
  });

  it("answers fail and release with what became of the clip, and lease_lost afterwards", async () => {
    await orderOne();
    const runner = await newRunner();
    const failure = { code: "cuda_fault", message: "The GPU faulted.", retryable: true };
    const first = await claimOne(runner);
    expect(await (await attempt(runner, first.lease_token, "fail", failure)).json()).toEqual({ state: "queued" });
    await expectProblem(await attempt(runner, first.lease_token, "heartbeat", LOADING), "lease_lost");
    const second = await claimOne(runner);
    expect(await (await attempt(runner, second.lease_token, "release")).json()).toEqual({ state: "queued" });
    await expectProblem(await attempt(runner, second.lease_token, "release"), "lease_lost");
    await expectInvariants();
  });

  it("belongs to its runner: another one's calls are lease_lost and change nothing", async () => {
    await orderOne();
    const [owner, other] = [await newRunner(), await newRunner()];
    const { lease_token } = await claimOne(owner);
    const before = await everything();
    const upload = { kind: "mp4", type: "video/mp4", bytes: 4, md5: "1B2M2Y8AsgTpgAmY7PhCfg==" };
    const failure = { code: "x", message: "x", retryable: false };
    const calls = { heartbeat: LOADING, uploads: upload, complete: await completion(), fail: failure };
    for (const [action, body] of Object.entries({ ...calls, release: undefined })) {
      await expectProblem(await attempt(other, lease_token, action, body), "lease_lost");
    }
    expect(await everything()).toEqual(before);
  });

  it.each([
    ["uploads", { kind: "mp4", type: "image/jpeg", bytes: 4, md5: "1B2M2Y8AsgTpgAmY7PhCfg==" }, "/type"],
    ["uploads", { kind: "mp4", type: "video/mp4", bytes: 200_000_001, md5: "1B2M2Y8AsgTpgAmY7PhCfg==" }, "/bytes"],
    ["uploads", { kind: "mp4", type: "video/mp4", bytes: 4, md5: "nonsense" }, "/md5"],
    ["heartbeat", { stage: "dreaming", step: 0, steps: 0 }, "/stage"],
    ["fail", { code: "NOT A CODE", message: "", retryable: true }, "/code"],
  ])("refuses %s %j", async (action, body, pointer) => {
    await expectProblem(await attempt(await newRunner(), "token", action, body), "invalid_request", pointer);
  });
});
