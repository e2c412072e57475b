import { exports } from "cloudflare:workers";
import { beforeEach, describe, expect, it } from "vitest";
import { balanceSchema } from "../../../shared/contract/balance.ts";
import { clipSchema, LIMITS } from "../../../shared/contract/clips.ts";
import { modelListSchema } from "../../../shared/contract/models.ts";
import { env } from "../support/env.ts";
import { call, expectProblem } from "../support/http.ts";
import { everything, expectInvariants } from "../support/invariants.ts";
import { admin, claimOne, newRunner, newTenant, pollOnce, type Tenant } from "../support/tenant.ts";
import { CLIP_PRICE, DEMO, freshDeployment, LOADING } from "../support/world.ts";

beforeEach(freshDeployment);

const ORDER = { model: DEMO, prompt: "a red ball" };

async function order(tenant: Tenant, body: unknown = ORDER, headers: Record<string, string> = {}): Promise<Response> {
  return await call("POST", "/v1/clips", { token: tenant.key, body, headers });
}

describe("POST /v1/clips", () => {
  it("answers 202 with the queued clip and its Location", async () => {
    const tenant = await newTenant();
    const answer = await order(tenant);
    expect(answer.status).toBe(202);
    const clip = clipSchema.strict().parse(await answer.json());
    expect(clip).toMatchObject({ state: "queued", price_micros: CLIP_PRICE });
    expect(answer.headers.get("location")).toBe(`/v1/clips/${clip.id}`);
    expect(answer.headers.get("x-request-id")).toMatch(/^req_/);
  });

  it("gives the same bytes again for the same Idempotency-Key, however the body is spelt", async () => {
    const tenant = await newTenant();
    const headers = { "idempotency-key": "k-1" };
    const first = await order(tenant, ORDER, headers);
    const again = await order(tenant, ` {"prompt": "a red ball", "steps": 4, "model": "${DEMO}"} `, headers);
    expect(again.status).toBe(202);
    expect(await again.text()).toBe(await first.text());
    expect(again.headers.get("location")).toBe(first.headers.get("location"));
    expect([first, again].map((answer) => answer.headers.get("idempotent-replayed"))).toEqual([null, "true"]);
    await expectInvariants();
  });

  it("refuses a used Idempotency-Key with another body", async () => {
    const tenant = await newTenant();
    const headers = { "idempotency-key": "k-1" };
    await order(tenant, ORDER, headers);
    await expectProblem(await order(tenant, { ...ORDER, prompt: "a blue ball" }, headers), "idempotency_mismatch");
  });

  it.each(["", "with space", "x".repeat(256)])("refuses the Idempotency-Key %j", async (key) => {
    const tenant = await newTenant();
    const detail = await expectProblem(await order(tenant, ORDER, { "idempotency-key": key }), "invalid_request");
    expect(detail).toContain("idempotency-key");
  });

  it.each([
    ["prompt_empty", { ...ORDER, prompt: "  " }, "/prompt"],
    ["prompt_too_long", { ...ORDER, prompt: "x".repeat(LIMITS.promptCharacters + 1) }, "/prompt"],
    ["model_unknown", { ...ORDER, model: "sora" }, "/model"],
    ["size_not_allowed", { ...ORDER, size: "832x480" }, "/size"],
    ["frames_invalid", { ...ORDER, frames: 32 }, "/frames"],
    ["invalid_request", { model: DEMO }, "/prompt"],
    ["invalid_request", { ...ORDER, prompt: 5 }, "/prompt"],
    ["invalid_request", { ...ORDER, size: "big" }, "/size"],
    ["invalid_request", { ...ORDER, steps: 5 }, "/steps"],
    ["invalid_request", { ...ORDER, steps: 2.5 }, "/steps"],
    ["invalid_request", { ...ORDER, seed: -1 }, "/seed"],
    ["invalid_request", { ...ORDER, sampler: "euler" }, "/sampler"],
    ["invalid_request", { ...ORDER, expires_after: 9 }, "/expires_after"],
    ["invalid_request", { ...ORDER, expires_after: 604_801 }, "/expires_after"],
    ["invalid_request", { ...ORDER, priority: "high" }, "/priority"],
    ["invalid_request", { ...ORDER, "a/b~c": 1 }, "/a~1b~0c"],
    ["invalid_request", [ORDER], ""],
    ["invalid_request", "null", ""],
  ] as const)("answers %s for %j, and nothing is charged", async (code, body, pointer) => {
    const tenant = await newTenant();
    const before = await everything();
    await expectProblem(await order(tenant, body), code, pointer);
    expect(await everything()).toEqual(before);
  });

  it("refuses what is no JSON, no UTF-8, or says that it is something else", async () => {
    const tenant = await newTenant();
    await expectProblem(await order(tenant, '{"model": '), "invalid_request");
    await expectProblem(await order(tenant, Uint8Array.of(0x22, 0xff, 0x22)), "invalid_request");
    await expectProblem(
      await order(tenant, JSON.stringify(ORDER), { "content-type": "text/plain" }),
      "invalid_request",
    );
    await expectProblem(await call("POST", "/v1/clips", { token: tenant.key }), "invalid_request", "/model");
  });

  it("takes a prompt of 4000 characters of any script within the body's limit", async () => {
    const tenant = await newTenant();
    expect((await order(tenant, { ...ORDER, prompt: "\u6f22".repeat(LIMITS.promptCharacters) })).status).toBe(202);
  });

  it("refuses a prompt of 10 MB as body_too_large before it is parsed, whatever length is declared", async () => {
    const tenant = await newTenant();
    const before = await everything();
    const body = JSON.stringify({ ...ORDER, prompt: "x".repeat(10_000_000) });
    await expectProblem(await order(tenant, body), "body_too_large");
    await expectProblem(await order(tenant, body, { "content-length": "10" }), "body_too_large");
    expect(await everything()).toEqual(before);
  });

  it("counts a body that comes without a length", async () => {
    const tenant = await newTenant();
    const stream = (bytes: number) =>
      new ReadableStream({
        start(controller) {
          controller.enqueue(new TextEncoder().encode(JSON.stringify(ORDER)));
          for (let sent = 0; sent < bytes; sent += 1_024) controller.enqueue(new Uint8Array(1_024).fill(0x20));
          controller.close();
        },
      });
    expect((await streamed(tenant, stream(1_024))).status).toBe(202);
    await expectProblem(await streamed(tenant, stream(LIMITS.bodyBytes)), "body_too_large");
  });

  it("answers insufficient_balance when the price is not there, and charges nothing", async () => {
    const tenant = await newTenant(CLIP_PRICE - 1);
    await expectProblem(await order(tenant), "insufficient_balance");
    await expectInvariants();
  });
});

async function streamed(tenant: Tenant, body: ReadableStream): Promise<Response> {
  const headers = { authorization: `Bearer ${tenant.key}`, "content-type": "application/json" };
  return await exports.default.fetch(new Request("https://clips.test/v1/clips", { method: "POST", headers, body }));
}

describe("GET /v1/clips/{id}", () => {
  it("answers for a foreign id, an absent one and what is no id in the same bytes", async () => {
    const [owner, stranger] = [await newTenant(), await newTenant()];
    const { id } = (await (await order(owner)).json()) as { id: string };
    const bodies: string[] = [];
    for (const wanted of [id, "clip_01j9z3k4m5n6p7q8r9s0t1v2w3"]) {
      const answer = await call("GET", `/v1/clips/${wanted}`, { token: stranger.key });
      const text = await answer.clone().text();
      await expectProblem(answer, "not_found");
      bodies.push(text.replace(answer.headers.get("x-request-id") ?? "", "req"));
    }
    expect(bodies[1]).toBe(bodies[0]);
    await expectProblem(await call("GET", "/v1/clips/nonsense", { token: stranger.key }), "not_found");
    await expectProblem(await call("POST", `/v1/clips/${id}/cancel`, { token: stranger.key }), "not_found");
  });

  it("shows the progress of the latest heartbeat although it was not written to the database", async () => {
    const tenant = await newTenant();
    const { id } = (await (await order(tenant)).json()) as { id: string };
    const runner = await newRunner();
    const claim = await claimOne(runner);
    const path = `/runner/v1/attempts/${claim.lease_token}/heartbeat`;
    for (const body of [LOADING, { stage: "denoise", step: 3, steps: 4 }]) {
      await call("POST", path, { token: runner.token, body });
    }
    const clip = clipSchema.parse(await (await call("GET", `/v1/clips/${id}`, { token: tenant.key })).json());
    expect(clip).toMatchObject({ state: "running", progress: { stage: "denoise", step: 3, steps: 4 } });
  });
});

describe("POST /v1/clips/{id}/cancel", () => {
  it("cancels, and answers the same again", async () => {
    const tenant = await newTenant();
    const { id } = (await (await order(tenant)).json()) as { id: string };
    const first = await call("POST", `/v1/clips/${id}/cancel`, { token: tenant.key });
    expect(first.status).toBe(200);
    const again = await call("POST", `/v1/clips/${id}/cancel`, { token: tenant.key });
    expect(clipSchema.parse(await again.json())).toEqual(clipSchema.parse(await first.json()));
    await expectInvariants();
  });
});

describe("the rest of /v1", () => {
  it("lists the models with their sizes and prices", async () => {
    const { key } = await newTenant();
    const { data } = modelListSchema.parse(await (await call("GET", "/v1/models", { token: key })).json());
    expect(data[0]).toMatchObject({
      ...{ id: DEMO, sizes: ["256x192", "192x256", "224x224"], base_price_micros: { "480p": 1_000 } },
      ...{ min_frames: 5, default_frames: 33, max_frames: 81, max_steps: 4, max_prompt_characters: 4_000 },
    });
  });

  it("says of each model whether a machine is there that makes it", async () => {
    const { key } = await newTenant();
    const available = async () => {
      const { data } = modelListSchema.parse(await (await call("GET", "/v1/models", { token: key })).json());
      return data.filter((model) => model.available).map(({ id }) => id);
    };
    expect(await available()).toEqual([]);
    const runner = await newRunner();
    await (await pollOnce(runner)).text();
    expect(await available()).toEqual([DEMO]);
    await env.DB.prepare("update runners set last_seen_ms = last_seen_ms - 60000").run();
    expect(await available()).toEqual([]);
  });

  it("tells the balance in integers", async () => {
    const tenant = await newTenant();
    await order(tenant);
    const answer = await call("GET", "/v1/balance", { token: tenant.key });
    expect(balanceSchema.parse(await answer.json())).toEqual({
      posted_micros: 1_000_000,
      pending_micros: CLIP_PRICE,
      available_micros: 1_000_000 - CLIP_PRICE,
    });
  });

  it("asks for a key before all else, and says how to send one", async () => {
    for (const [method, path] of [
      ["POST", "/v1/clips"],
      ["GET", "/v1/clips/clip_01j9z3k4m5n6p7q8r9s0t1v2w3"],
      ["GET", "/v1/models"],
      ["GET", "/v1/balance"],
      ["GET", "/v1/nothing-here"],
    ] as const) {
      for (const authorization of ["", "Basic abc", "Bearer ", "Bearer nonsense", `Bearer ${"x".repeat(600)}`]) {
        const answer = await call(method, path, { headers: { authorization } });
        expect(answer.headers.get("www-authenticate")).toContain("Bearer");
        await expectProblem(answer, "unauthenticated");
      }
    }
  });

  it("refuses a revoked key and an expired one", async () => {
    const tenant = await newTenant();
    const wanted = { name: "old", expires_at: "2099-01-01T00:00:00Z" };
    const expired = (await (await admin("POST", `/accounts/${tenant.accountId}/keys`, wanted)).json()) as {
      key: string;
    };
    await env.DB.prepare("update api_keys set expires_at_ms = 1 where name = 'old'").run();
    await expectProblem(await call("GET", "/v1/models", { token: expired.key }), "key_expired");
    expect((await admin("DELETE", `/keys/${tenant.keyId}`)).status).toBe(204);
    await expectProblem(await call("GET", "/v1/models", { token: tenant.key }), "key_revoked");
  });

  it("answers not_found for a path and method_not_allowed for a method that does not exist", async () => {
    const { key } = await newTenant();
    await expectProblem(await call("GET", "/v1/nothing-here", { token: key }), "not_found");
    await expectProblem(await call("PUT", "/v1/models", { token: key }), "method_not_allowed");
    await expectProblem(await call("GET", "/nothing-here"), "not_found");
  });
});
