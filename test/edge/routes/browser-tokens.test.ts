import { beforeEach, describe, expect, it } from "vitest";
import { sweep } from "../../../edge/services/sweep.ts";
import { type BrowserToken, browserTokenSchema } from "../../../shared/contract/keys.ts";
import { env } from "../support/env.ts";
import { type Call, call, expectProblem } from "../support/http.ts";
import { expectInvariants } from "../support/invariants.ts";
import { newKey } from "../support/keys.ts";
import { admin, newTenant, type Tenant } from "../support/tenant.ts";
import { DEMO, freshDeployment, World } from "../support/world.ts";

const PAGE = "https://www.example.com";
const BOTH = ["clips:read", "clips:write"];
const ORDER = { model: DEMO, prompt: "a red ball" };

let tenant: Tenant;
beforeEach(async () => {
  await freshDeployment();
  tenant = await newTenant();
});

const ask = (body: unknown, token = tenant.key) => call("POST", "/v1/browser-tokens", { token, body });

async function newToken(wanted: object = {}, key = tenant.key): Promise<BrowserToken> {
  const answer = await ask({ scopes: BOTH, origins: [PAGE], ...wanted }, key);
  expect(answer.status).toBe(201);
  expect(answer.headers.get("cache-control")).toBe("no-store");
  return browserTokenSchema.strict().parse(await answer.json());
}

/** As a script of a page would. */
const fromPage = (method: string, path: string, token: string, { headers = {}, ...options }: Call = {}) =>
  call(method, path, { token, headers: { origin: PAGE, ...headers }, ...options });

async function orderWith(token: string): Promise<string> {
  const answer = await fromPage("POST", "/v1/clips", token, { body: ORDER });
  expect(answer.status).toBe(202);
  return ((await answer.json()) as { id: string }).id;
}

describe("POST /v1/browser-tokens", () => {
  it("answers 201 with a token that orders and shows its own clip, stored only as a hash", async () => {
    const { token, key_id, expires_at } = await newToken();
    expect(token).toMatch(/^tc_web_[0-7][0-9a-z]{25}_[0-9A-Za-z]{43}_[0-9a-f]{8}$/);
    expect(key_id).toBe(tenant.keyId);
    expect(Date.parse(expires_at)).toBeGreaterThan(Date.now());
    const id = await orderWith(token);
    const clip = await fromPage("GET", `/v1/clips/${id}`, token);
    expect(await clip.json()).toMatchObject({ id, state: "queued" });
    expect((await call("GET", `/v1/clips/${id}`, { token: tenant.key })).status).toBe(200);
    const rows = await env.DB.prepare("select * from browser_tokens").all();
    expect(JSON.stringify(rows.results)).not.toContain(token.split("_")[3]);
    await expectInvariants();
  });

  it("never outlives its key", async () => {
    const expires_at = new Date(Date.now() + 60_000).toISOString();
    const { key } = await newKey(tenant, { expires_at });
    expect((await newToken({ expires_in: 3_600 }, key)).expires_at).toBe(expires_at);
  });

  it.each([
    [{ scopes: ["billing:read"] }, "/scopes/0"],
    [{ scopes: [] }, "/scopes"],
    [{ origins: [] }, "/origins"],
    [{ origins: ["*"] }, "/origins/0"],
    [{ origins: ["null"] }, "/origins/0"],
    [{ origins: ["https://www.example.com/"] }, "/origins/0"],
    [{ origins: ["https://www.example.com:443"] }, "/origins/0"],
    [{ origins: ["ftp://www.example.com"] }, "/origins/0"],
    [{ origins: [PAGE, PAGE] }, "/origins"],
    [{ origins: Array.from({ length: 11 }, (_, i) => `https://${i}.example.com`) }, "/origins"],
    [{ expires_in: 3_601 }, "/expires_in"],
    [{ expires_in: 0 }, "/expires_in"],
    [{ max_clips: -1 }, "/max_clips"],
    [{ key_id: "key" }, "/key_id"],
  ])("refuses %j as invalid_request", async (wrong, pointer) => {
    await expectProblem(await ask({ scopes: BOTH, origins: [PAGE], ...wrong }), "invalid_request", pointer);
  });

  it("refuses scopes that the key has not", async () => {
    const { key } = await newKey(tenant, { scopes: ["clips:write"] });
    await expectProblem(await ask({ scopes: BOTH, origins: [PAGE] }, key), "exceeds_own_key", "/scopes");
  });

  it("is closed to browser tokens themselves", async () => {
    const { token } = await newToken();
    const body = { scopes: BOTH, origins: [PAGE] };
    await expectProblem(await fromPage("POST", "/v1/browser-tokens", token, { body }), "scope_missing");
  });
});

describe("a browser token", () => {
  it("sees other clips of its account byte for byte like absent ones, whatever it asks of them", async () => {
    const { token } = await newToken();
    const other = await orderWith((await newToken()).token);
    const ours = (
      (await (await call("POST", "/v1/clips", { token: tenant.key, body: ORDER })).json()) as { id: string }
    ).id;
    for (const [method, path] of [
      ["GET", ""],
      ["GET", "/events"],
      ["POST", "/cancel"],
      ["DELETE", ""],
    ] as const) {
      const texts: string[] = [];
      for (const id of [other, ours, "clip_01j9z3k4m5n6p7q8r9s0t1v2w3"]) {
        const answer = await fromPage(method, `/v1/clips/${id}${path}`, token);
        expect(answer.status).toBe(404);
        texts.push((await answer.text()).replace(/req_\w+/, "req"));
      }
      expect(new Set(texts).size).toBe(1);
    }
  });

  it("may cancel, watch and delete its own clip", async () => {
    const { token } = await newToken();
    const id = await orderWith(token);
    expect((await fromPage("POST", `/v1/clips/${id}/cancel`, token)).status).toBe(200);
    const events = await fromPage("GET", `/v1/clips/${id}/events`, token);
    expect(await events.text()).toContain('"state":"cancelled"');
    expect(events.headers.get("access-control-allow-origin")).toBe(PAGE);
    expect((await fromPage("DELETE", `/v1/clips/${id}`, token)).status).toBe(204);
  });

  it("may neither list clips nor see money or keys", async () => {
    const { token } = await newToken({}, (await newKey(tenant)).key);
    for (const path of ["/v1/clips", "/v1/balance", "/v1/ledger", "/v1/usage", "/v1/limits", "/v1/keys"]) {
      await expectProblem(await fromPage("GET", path, token), "scope_missing");
    }
  });

  it("has no scope that its key has lost since", async () => {
    const { token } = await newToken();
    await admin("PATCH", `/keys/${tenant.keyId}`, { scopes: ["clips:read"] });
    await expectProblem(await fromPage("POST", "/v1/clips", token, { body: ORDER }), "scope_missing");
  });

  it("works from its origins only, and its answers may be read there only", async () => {
    const { token } = await newToken({ origins: [PAGE, "http://localhost:5173"] });
    for (const origin of [PAGE, "http://localhost:5173"]) {
      const answer = await call("GET", "/v1/models", { token, headers: { origin } });
      await answer.text();
      expect([answer.status, answer.headers.get("access-control-allow-origin")]).toEqual([200, origin]);
      expect(answer.headers.get("vary")).toBe("origin");
      expect(answer.headers.get("access-control-expose-headers")).toContain("ratelimit");
      expect(answer.headers.get("access-control-allow-credentials")).toBeNull();
    }
    for (const headers of [{}, { origin: "https://evil.example" }, { origin: "null" }, { origin: `${PAGE}.evil` }]) {
      const answer = await call("GET", "/v1/models", { token, headers });
      expect(answer.headers.get("access-control-allow-origin")).toBeNull();
      await expectProblem(answer, "origin_not_allowed");
    }
  });

  it("may read refusals too", async () => {
    const { token } = await newToken();
    const answer = await fromPage("POST", "/v1/clips", token, { body: {} });
    expect(answer.headers.get("access-control-allow-origin")).toBe(PAGE);
    await expectProblem(answer, "invalid_request", "/model");
  });

  it("orders no clip more than it may, however many orders come at once", async () => {
    const { token } = await newToken({ max_clips: 2 });
    const order = async () => await fromPage("POST", "/v1/clips", token, { body: ORDER });
    const answers = await Promise.all(Array.from({ length: 6 }, order));
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([202, 202, 403, 403, 403, 403]);
    const refused = answers.find(({ status }) => status === 403);
    if (refused === undefined) throw new Error("none was refused");
    await expectProblem(refused, "token_spent");
    await expectInvariants();
  });

  it("ends by its time, and with its key", async () => {
    const { token, id } = await newToken();
    await env.DB.prepare("update browser_tokens set expires_at_ms = 1 where id = ?").bind(id).run();
    await expectProblem(await fromPage("GET", "/v1/models", token), "key_expired");
    const { token: another } = await newToken();
    await admin("DELETE", `/keys/${tenant.keyId}`);
    await expectProblem(await fromPage("GET", "/v1/models", another), "key_revoked");
  });

  it("is unauthenticated when forged", async () => {
    const { token } = await newToken();
    for (const wrong of [
      token.slice(0, -1),
      token.replace("tc_web", "tc_live"),
      tenant.key.replace("tc_live", "tc_web"),
    ]) {
      await expectProblem(await fromPage("GET", "/v1/models", wrong), "unauthenticated");
    }
  });

  it("is forgotten by the sweep once it has expired, and its clip stays its account's", async () => {
    const { token, id: tokenId } = await newToken();
    const kept = await newToken({ expires_in: 3_600 });
    const id = await orderWith(token);
    await env.DB.prepare("update browser_tokens set expires_at_ms = 1 where id = ?").bind(tokenId).run();
    const world = new World();
    world.nowMs = Date.now();
    await sweep(world.ports);
    const { results } = await env.DB.prepare("select id from browser_tokens").all();
    expect(results).toEqual([{ id: kept.id }]);
    expect((await call("GET", `/v1/clips/${id}`, { token: tenant.key })).status).toBe(200);
    await expectProblem(await fromPage("GET", "/v1/models", token), "unauthenticated");
  });
});

describe("a preflight", () => {
  const preflight = (path: string, headers: Record<string, string>) => call("OPTIONS", path, { headers });

  it("is answered where browser tokens may call, with the methods of that path", async () => {
    for (const [path, methods] of [
      ["/v1/clips", "POST"],
      ["/v1/clips/clip_01j9z3k4m5n6p7q8r9s0t1v2w3", "GET, DELETE"],
      ["/v1/clips/clip_01j9z3k4m5n6p7q8r9s0t1v2w3/cancel", "POST"],
      ["/v1/models", "GET"],
    ] as const) {
      const answer = await preflight(path, { origin: PAGE, "access-control-request-method": "POST" });
      expect(answer.status).toBe(204);
      expect(answer.headers.get("access-control-allow-origin")).toBe(PAGE);
      expect(answer.headers.get("access-control-allow-methods")).toBe(methods);
      expect(answer.headers.get("access-control-allow-headers")).toContain("authorization");
      expect(answer.headers.get("vary")).toBe("origin");
    }
  });

  it("is not answered anywhere else, nor without its two headers", async () => {
    for (const path of ["/v1/keys", "/v1/balance", "/v1/browser-tokens"]) {
      const answer = await preflight(path, { origin: PAGE, "access-control-request-method": "GET" });
      expect(answer.headers.get("access-control-allow-origin")).toBeNull();
      await expectProblem(answer, "unauthenticated");
    }
    await expectProblem(await preflight("/v1/clips", { origin: PAGE }), "unauthenticated");
    await expectProblem(await preflight("/v1/clips", { "access-control-request-method": "POST" }), "unauthenticated");
  });
});

describe("an API key", () => {
  it("never lets a page read an answer", async () => {
    const answer = await fromPage("GET", "/v1/models", tenant.key);
    await answer.text();
    expect(answer.headers.get("access-control-allow-origin")).toBeNull();
  });
});
