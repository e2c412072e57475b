import { beforeEach, describe, expect, it } from "vitest";
import { type Estimate, estimateSchema } from "../../../shared/contract/clips.ts";
import { ERRORS } from "../../../shared/errors.ts";
import { env } from "../support/env.ts";
import { call, expectProblem } from "../support/http.ts";
import { everything } from "../support/invariants.ts";
import { admin, claimOne, newRunner, newTenant, pollOnce, type Tenant } from "../support/tenant.ts";
import { CLIP_PRICE, completion, DEMO, FILES, freshDeployment, LOADING } from "../support/world.ts";

beforeEach(freshDeployment);

const ORDER = { model: DEMO, prompt: "a red ball" };

async function ask(tenant: Tenant, body: object = {}): Promise<Response> {
  return await call("POST", "/v1/clips/estimate", { token: tenant.key, body: { ...ORDER, ...body } });
}

async function estimate(tenant: Tenant, body: object = {}): Promise<Estimate> {
  const answer = await ask(tenant, body);
  expect(answer.status).toBe(200);
  return estimateSchema.strict().parse(await answer.json());
}

async function order(tenant: Tenant, body: object = {}): Promise<Response> {
  return await call("POST", "/v1/clips", { token: tenant.key, body: { ...ORDER, ...body } });
}

describe("POST /v1/clips/estimate", () => {
  it("says what an order would hold, filled in with its defaults, and stores nothing", async () => {
    const tenant = await newTenant();
    const before = await everything();
    expect(await estimate(tenant)).toEqual({
      object: "estimate",
      model: DEMO,
      size: "256x192",
      frames: 33,
      n: 1,
      price_micros: CLIP_PRICE,
      total_price_micros: CLIP_PRICE,
      queue: { position: 1, expected_wait_s: null },
      refusal: null,
    });
    expect(await estimate(tenant, { n: 3, frames: 5, size: "224x224" })).toMatchObject({
      size: "224x224",
      frames: 5,
      n: 3,
      price_micros: 62, // ceil(1000 * 5 / 81)
      total_price_micros: 186,
    });
    expect(await everything()).toEqual(before);
  });

  it("foresees the place that the order then gets, behind its own account's clips and as low priority", async () => {
    const tenant = await newTenant();
    const other = await newTenant();
    await order(tenant, { n: 3 });
    await order(other, { n: 2 });
    for (const body of [{}, { priority: "low" }]) {
      const { queue } = await estimate(tenant, body);
      const { id } = (await (await order(tenant, body)).json()) as { id: string };
      const clip = await (await call("GET", `/v1/clips/${id}`, { token: tenant.key })).json();
      expect(clip).toMatchObject({ queue: { position: queue.position } });
    }
    // Turns are by cost: the newcomer's first clip goes before the others' second ones.
    expect((await estimate(await newTenant())).queue.position).toBeLessThan((await estimate(tenant)).queue.position);
  });

  it("knows how long to wait once a runner has finished a clip of the model", async () => {
    const tenant = await newTenant();
    await order(tenant);
    const runner = await newRunner();
    const { clip_id: id, lease_token: token } = await claimOne(runner);
    const attempt = `/runner/v1/attempts/${token}`;
    await call("POST", `${attempt}/heartbeat`, { token: runner.token, body: LOADING });
    await env.BUCKET.put(`clips/${id}/1/clip.mp4`, FILES.mp4);
    await env.BUCKET.put(`clips/${id}/1/poster.jpg`, FILES.poster);
    await call("POST", `${attempt}/complete`, { token: runner.token, body: await completion() });
    await env.DB.prepare("update clips set started_at_ms = finished_at_ms - 8000").run();
    await pollOnce(runner);
    await order(tenant);
    expect((await estimate(tenant)).queue).toEqual({ position: 2, expected_wait_s: 16 });
  });

  it.each([
    ["insufficient_balance", CLIP_PRICE * 3 - 1, {}],
    ["cap_exceeded", 1_000_000, { daily_cap_micros: CLIP_PRICE * 3 - 1 }],
    ["too_many_in_flight", 1_000_000, { max_in_flight: 2 }],
    // The second clip exceeds the cap, the third the balance: the batch stops at the second.
    ["cap_exceeded", CLIP_PRICE * 2, { daily_cap_micros: CLIP_PRICE }],
  ] as const)("foresees %s, as the order is then refused", async (code, credit, limits) => {
    const tenant = await newTenant(credit);
    await admin("PATCH", `/accounts/${tenant.accountId}`, limits);
    const { refusal, total_price_micros } = await estimate(tenant, { n: 3 });
    expect(total_price_micros).toBe(3 * CLIP_PRICE);
    const refused = (await (await order(tenant, { n: 3 })).json()) as Record<string, unknown>;
    const { detail, limit } = refused;
    expect(refusal).toEqual({ code, detail, retryable: ERRORS[code].retryable, ...(limit !== undefined && { limit }) });
    expect((await estimate(tenant)).refusal).toBeNull();
    expect((await order(tenant)).status).toBe(202);
  });

  it("foresees the cap of the key that asks", async () => {
    const tenant = await newTenant();
    await admin("PATCH", `/keys/${tenant.keyId}`, { daily_cap_micros: CLIP_PRICE - 1 });
    expect((await estimate(tenant)).refusal).toMatchObject({ code: "cap_exceeded", limit: { name: "key_daily_cap" } });
  });

  it.each([
    ["prompt_empty", { prompt: " " }, "/prompt"],
    ["prompt_too_long", { prompt: "x".repeat(4_001) }, "/prompt"],
    ["model_unknown", { model: "sora" }, "/model"],
    ["size_not_allowed", { size: "832x480" }, "/size"],
    ["frames_invalid", { frames: 32 }, "/frames"],
    ["invalid_request", { n: 0 }, "/n"],
  ] as const)("answers %s as the order would be", async (code, body, pointer) => {
    await expectProblem(await ask(await newTenant(), body), code, pointer);
  });

  it("asks for a key, and refuses a body over the limit", async () => {
    await expectProblem(await call("POST", "/v1/clips/estimate", { body: ORDER }), "unauthenticated");
    await expectProblem(await ask(await newTenant(), { prompt: "x".repeat(70_000) }), "body_too_large");
  });
});
