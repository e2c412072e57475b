import { createExecutionContext } from "cloudflare:test";
import { beforeEach, describe, expect, it, vi } from "vitest";
import worker from "../../../edge/index.ts";
import { problemSchema } from "../../../shared/contract/clips.ts";
import { browserTokenSchema } from "../../../shared/contract/keys.ts";
import { env } from "../support/env.ts";
import { call, expectProblem, ORIGIN } from "../support/http.ts";
import { newKey } from "../support/keys.ts";
import { newTenant } from "../support/tenant.ts";
import { freshDeployment } from "../support/world.ts";

beforeEach(freshDeployment);

/** Nearly no refill: 1 an hour or less. */
const SMALL = JSON.stringify({
  read: { quota: 4, windowS: 3_600 },
  write: { quota: 1, windowS: 3_600 },
  token_read: { quota: 2, windowS: 3_600 },
});

/** The Worker with these bindings instead of its own. */
async function fetchWith(bindings: object, method: string, path: string, headers: Record<string, string>) {
  const changed = { ...env, ...bindings } as typeof env;
  return await worker.fetch(new Request(`${ORIGIN}${path}`, { method, headers }), changed, createExecutionContext());
}

const get = async (token: string, bindings: object = { RATE_LIMITS: SMALL }, origin = "") =>
  await fetchWith(bindings, "GET", "/v1/models", {
    authorization: `Bearer ${token}`,
    ...(origin !== "" && { origin }),
  });

describe("rate limits", () => {
  it("are told with every answer, refusals too, as the draft has them", async () => {
    const { key } = await newTenant();
    const first = await call("GET", "/v1/models", { token: key });
    await first.text();
    expect(first.headers.get("ratelimit-policy")).toBe('"read";q=6000;w=60');
    expect(first.headers.get("ratelimit")).toBe('"read";r=5999;t=1');
    const refused = await call("POST", "/v1/clips", { token: key, body: {} });
    expect(refused.headers.get("ratelimit-policy")).toBe('"write";q=600;w=60');
    expect(refused.headers.get("ratelimit")).toBe('"write";r=599;t=1');
    await expectProblem(refused, "invalid_request", "/model");
  });

  it("let exactly the quota through, then answer 429 with Retry-After and which limit it was", async () => {
    const { key } = await newTenant();
    const answers = [];
    for (let i = 0; i < 5; i += 1) answers.push(await get(key));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 429]);
    expect(answers.map(({ headers }) => headers.get("ratelimit")?.split(";")[1])).toEqual([
      "r=3",
      "r=2",
      "r=1",
      "r=0",
      "r=0",
    ]);
    const refused = answers[4];
    if (refused === undefined) throw new Error("there are five");
    const retryAfter = Number(refused.headers.get("retry-after"));
    expect(retryAfter).toBeGreaterThan(890);
    expect(retryAfter).toBeLessThanOrEqual(900);
    const { limit } = problemSchema.parse(await refused.clone().json());
    expect(limit).toMatchObject({ name: "read_requests", value: 4 });
    expect(await expectProblem(refused, "rate_limited")).toContain("4 read requests in 3600 s");
    for (const answer of answers.slice(0, 4)) await answer.text();
  });

  it("count each key for itself, and reads apart from writes", async () => {
    const tenant = await newTenant();
    for (let i = 0; i < 4; i += 1) await (await get(tenant.key)).text();
    expect((await get(tenant.key)).status).toBe(429);
    expect((await get((await newKey(tenant)).key)).status).toBe(200);
    expect((await get((await newTenant()).key)).status).toBe(200);
    const headers = { authorization: `Bearer ${tenant.key}` };
    const write = await fetchWith({ RATE_LIMITS: SMALL }, "POST", "/v1/clips/x/cancel", headers);
    await expectProblem(write, "not_found");
    await expectProblem(await fetchWith({ RATE_LIMITS: SMALL }, "POST", "/v1/clips/x/cancel", headers), "rate_limited");
  });

  it("hold a browser token to its own and to its key's", async () => {
    const { key } = await newTenant();
    const origin = "https://www.example.com";
    const newToken = async () => {
      const body = { scopes: ["clips:read"], origins: [origin] };
      return browserTokenSchema.parse(await (await call("POST", "/v1/browser-tokens", { token: key, body })).json())
        .token;
    };
    const bindings = { RATE_LIMITS: SMALL };
    const [one, two, three] = [await newToken(), await newToken(), await newToken()];
    const first = await get(one, bindings, origin);
    expect(first.headers.get("ratelimit-policy")).toBe('"read";q=4;w=3600, "token_read";q=2;w=3600');
    expect(first.headers.get("ratelimit")).toMatch(/^"read";r=3;t=\d+, "token_read";r=1;t=\d+$/);
    expect((await get(one, bindings, origin)).status).toBe(200);
    const spent = await get(one, bindings, origin);
    expect(spent.headers.get("access-control-allow-origin")).toBe(origin);
    expect(await expectProblem(spent, "rate_limited")).toContain("browser token");
    // What was refused drew on neither bucket: two are left of the key's four.
    for (const token of [two, two]) expect((await get(token, bindings, origin)).status).toBe(200);
    expect(await expectProblem(await get(three, bindings, origin), "rate_limited")).toContain("API key");
  });

  it("hold against requests that come at once", async () => {
    const { key } = await newTenant();
    const answers = await Promise.all(Array.from({ length: 12 }, async () => await get(key)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(4);
  });

  it("refuse nobody while the Limiter fails, say nothing of a quota, and log it", async () => {
    const { key } = await newTenant();
    const lines: string[] = [];
    const warn = vi.spyOn(console, "warn").mockImplementation((line: string) => void lines.push(line));
    const down = { getByName: () => ({ draw: async () => await Promise.reject(new Error("overloaded")) }) };
    for (let i = 0; i < 6; i += 1) {
      const answer = await get(key, { RATE_LIMITS: SMALL, LIMITER: down });
      expect(answer.status).toBe(200);
      expect(answer.headers.get("ratelimit")).toBeNull();
    }
    warn.mockRestore();
    expect(lines.filter((line) => line.includes("limiter failed"))).toHaveLength(6);
    expect(lines.join("\n")).not.toContain(key);
  });

  it("are checked where they are set, by name", async () => {
    const { key } = await newTenant();
    for (const wrong of ["[", '{"read":{"quota":0,"windowS":60}}', '{"reads":{}}']) {
      expect(await expectProblem(await get(key, { RATE_LIMITS: wrong }), "internal")).toContain("RATE_LIMITS");
    }
  });
});
