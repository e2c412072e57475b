// What the Worker writes about requests: enough to follow one, and nothing that opens anything or was said in confidence.
import { exports } from "cloudflare:workers";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { type Clip, clipSchema } from "../../../shared/contract/clips.ts";
import { browserTokenSchema, issuedApiKeySchema } from "../../../shared/contract/keys.ts";
import { uploadReplySchema } from "../../../shared/contract/runner.ts";
import { issuedEndpointSchema, issuedSecretSchema } from "../../../shared/contract/webhooks.ts";
import { env } from "../support/env.ts";
import { call, ORIGIN } from "../support/http.ts";
import { newKey } from "../support/keys.ts";
import { admin, claimOne, newRunner, newTenant, type Tenant } from "../support/tenant.ts";
import { completion, DEMO, FILES, freshDeployment, LOADING } from "../support/world.ts";

const lines: string[] = [];

beforeEach(async () => {
  await freshDeployment();
  lines.length = 0;
  for (const method of ["debug", "log", "info", "warn", "error"] as const) {
    vi.spyOn(console, method).mockImplementation((...words: unknown[]) => void lines.push(words.map(String).join(" ")));
  }
  return () => vi.restoreAllMocks();
});

type Line = Record<string, unknown>;
const requests = (): Line[] =>
  lines.map((line) => JSON.parse(line) as Line).filter(({ message }) => message === "request");

/** The line of this answer. */
function lineOf(answer: Response): Line | undefined {
  return requests().find(({ request_id: id }) => id === answer.headers.get("x-request-id"));
}

const order = async (key: string, body: object = {}) =>
  await call("POST", "/v1/clips", { token: key, body: { model: DEMO, prompt: "a red ball", ...body } });

describe("the line of a request", () => {
  it("names its route by its pattern, its status, and who asked about which clip", async () => {
    const tenant = await newTenant();
    const created = await order(tenant.key);
    const { id } = clipSchema.parse(await created.clone().json());
    const shared = { level: "info", account: tenant.accountId, key: tenant.keyId, clip: id };
    expect(lineOf(created)).toMatchObject({ ...shared, method: "POST", route: "/v1/clips", status: 202 });
    const got = await call("GET", `/v1/clips/${id}?secret=hidden`, { token: tenant.key });
    expect(lineOf(got)).toMatchObject({ ...shared, method: "GET", route: "/v1/clips/:id", status: 200 });
    expect(lineOf(got)?.duration_ms).toBeGreaterThanOrEqual(0);
    expect(requests().filter(({ request_id: of }) => of === got.headers.get("x-request-id"))).toHaveLength(1);
  });

  it("names the attempt that a lease token stands for, from the claim on", async () => {
    const { key } = await newTenant();
    const { id } = clipSchema.parse(await (await order(key)).json());
    const runner = await newRunner();
    const { lease_token } = await claimOne(runner);
    const path = `/runner/v1/attempts/${lease_token}/heartbeat`;
    const beat = await call("POST", path, { token: runner.token, body: LOADING });
    const about = { runner: runner.id, clip: id, attempt: 1 };
    expect(lineOf(beat)).toMatchObject({ ...about, route: "/runner/v1/attempts/:token/heartbeat", status: 200 });
    expect(requests().find(({ route }) => route === "/runner/v1/poll")).toMatchObject(about);
  });

  it("has no path of what is not there, and none of a guessed credential", async () => {
    const lost = await call("GET", "/v1/../tc_live_guessed?sig=guessed");
    expect(lineOf(lost)).toMatchObject({ status: 404 });
    expect(lines.join("\n")).not.toContain("guessed");
  });
});

describe("prompts", () => {
  const prompts = () => lines.filter((line) => line.includes("a ball that nobody knows of"));
  const ask = async ({ key }: Pick<Tenant, "key">) => await order(key, { prompt: "a ball that nobody knows of" });

  it("are logged for an account that allows it, with the request and the clip, and for no other", async () => {
    const [open, closed] = [await newTenant(), await newTenant()];
    const allowed = await admin("PATCH", `/accounts/${open.accountId}`, { log_prompts: true });
    expect(await allowed.json()).toMatchObject({ log_prompts: true });
    await ask(closed);
    expect(prompts()).toEqual([]);
    const answer = await ask(open);
    const { id } = clipSchema.parse(await answer.clone().json());
    const request_id = answer.headers.get("x-request-id");
    expect(prompts().map((line) => JSON.parse(line) as Line)).toEqual([
      { level: "info", message: "prompt", request_id, clip: id, prompt: "a ball that nobody knows of" },
    ]);
    await admin("PATCH", `/accounts/${open.accountId}`, { log_prompts: false });
    await ask(open);
    expect(prompts()).toHaveLength(1);
  });
});

/** Everything that a deployment does, with each secret that it uses on the way put into `secrets`. */
async function useAll(secrets: Set<string>): Promise<void> {
  const keep = (...found: readonly string[]) => found.forEach((secret) => void secrets.add(secret));
  const signatureOf = (url: string) => new URL(url).searchParams.get("sig") ?? url;
  const prompt = "the prompt of a customer";
  keep(prompt, "what-a-customer-noted", env.ADMIN_TOKEN, env.METRICS_TOKEN, env.SIGNING_KEYS);
  const tenant = await newTenant();
  const { key } = await newKey(tenant);
  keep(tenant.key, key);
  const ask = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
    await call(method, path, { token: key, headers, ...(body !== undefined && { body }) });
  const told = async (answer: Promise<Response>): Promise<unknown> => await (await answer).json();

  // Webhooks first, so that all that follows is told to a server that does not answer.
  const hook = issuedEndpointSchema.parse(
    await told(ask("POST", "/v1/webhook-endpoints", { url: "http://127.0.0.1:9/path-of-a-customer" })),
  );
  const rotated = await told(ask("POST", `/v1/webhook-endpoints/${hook.id}/rotate-secret`, {}));
  const own = issuedSecretSchema.parse(await told(ask("POST", "/v1/webhook-secret/rotate", {})));
  keep(hook.secret, issuedSecretSchema.parse(rotated).secret, own.secret, "path-of-a-customer");
  await ask("POST", `/v1/webhook-endpoints/${hook.id}/test`);

  // Keys and browser tokens.
  const made = issuedApiKeySchema.parse(await told(ask("POST", "/v1/keys", { name: "n", scopes: ["clips:read"] })));
  const again = await told(ask("POST", `/v1/keys/${made.id}/rotate`, {}));
  keep(made.key, issuedApiKeySchema.parse(again).key);
  const page = { scopes: ["clips:read", "clips:write"], origins: ["https://www.example.com"] };
  const visitor = browserTokenSchema.parse(await told(ask("POST", "/v1/browser-tokens", page)));
  keep(visitor.token);
  const fromPage = { token: visitor.token, headers: { origin: "https://www.example.com" } };
  await call("POST", "/v1/clips", { ...fromPage, body: { model: DEMO, prompt } });

  // A clip from its order to its download, a video, and the same by MCP.
  const body = { model: DEMO, prompt, metadata: { note: "what-a-customer-noted" } };
  await ask("POST", "/v1/clips", body, { "idempotency-key": "key-of-an-order" });
  keep("key-of-an-order");
  const form = new FormData();
  form.append("model", DEMO);
  form.append("prompt", prompt);
  const video = { method: "POST", body: form, headers: { authorization: `Bearer ${key}` } };
  expect((await exports.default.fetch(new Request(`${ORIGIN}/v1/videos`, video))).status).toBe(200);
  const tool = { name: "create_clip", arguments: { model: DEMO, prompt } };
  const rpc = { jsonrpc: "2.0", id: 1, method: "tools/call", params: tool };
  const accept = { accept: "application/json, text/event-stream" };
  expect(await (await ask("POST", "/mcp", rpc, accept)).text()).toContain("clip_");
  const upload = await told(ask("POST", "/v1/uploads", { content_type: "image/png", bytes: 10 }));
  const credentials = JSON.stringify(upload).matchAll(/X-Amz-(?:Signature|Credential)=([^"&\\]+)/g);
  for (const [, found = ""] of credentials) keep(found);

  const runner = await newRunner();
  keep(runner.token);
  const claim = await claimOne(runner);
  keep(claim.lease_token);
  const attempt = async (action: string, sent: unknown, token = claim.lease_token) =>
    await call("POST", `/runner/v1/attempts/${token}/${action}`, { token: runner.token, body: sent });
  await attempt("heartbeat", LOADING);
  const { outputs } = await completion();
  const { bytes, md5 } = outputs.mp4;
  const put = uploadReplySchema.parse(await told(attempt("uploads", { kind: "mp4", type: "video/mp4", bytes, md5 })));
  const signed = new URL(put.url).searchParams;
  keep(signed.get("X-Amz-Signature") ?? put.url, signed.get("X-Amz-Credential") ?? put.url);
  await env.BUCKET.put(`clips/${claim.clip_id}/1/clip.mp4`, FILES.mp4);
  await env.BUCKET.put(`clips/${claim.clip_id}/1/poster.jpg`, FILES.poster);
  expect((await attempt("complete", await completion())).status).toBe(200);
  const clip = (await told(ask("GET", `/v1/clips/${claim.clip_id}`))) as Clip;
  for (const url of [clip.output?.mp4.url, clip.output?.poster.url]) {
    if (url === undefined) throw new Error("the clip has succeeded");
    keep(signatureOf(url));
    expect((await call("GET", url)).status).toBe(200);
    await call("GET", `${url}x`); // a signature that is not ours
    await call("GET", url.replace(/expires=\d+/, "expires=1"));
  }
  await ask("GET", `/v1/videos/${claim.clip_id}/content`);
  await (await ask("GET", `/v1/clips/${claim.clip_id}/events`)).text();

  // Failures: of runners, of callers, and of our own.
  const second = await claimOne(runner);
  keep(second.lease_token, "words of an engine");
  const failure = { code: "cuda_fault", message: "words of an engine", retryable: false };
  await attempt("fail", failure, second.lease_token);
  await attempt("heartbeat", LOADING, second.lease_token);
  await ask("POST", "/v1/clips", `{"model": "${DEMO}", "prompt": "${prompt}`);
  await ask("POST", "/v1/clips", { ...body, prompt: `${prompt} `.repeat(1_000) });
  await ask("POST", "/v1/clips", { ...body, unknown: prompt });
  for (const secret of [key, runner.token, env.ADMIN_TOKEN]) {
    await call("GET", "/v1/clips", { token: `${secret}x` });
    await call("GET", `/v1/${secret}?key=${secret}`, { token: secret });
    await call("GET", "/metrics", { token: secret });
  }
  await admin("POST", `/clips/${claim.clip_id}/refunds`, { reason: "blurred", idempotency_key: "r" });
  await ask("DELETE", `/v1/clips/${claim.clip_id}`);
  await env.DB.prepare("alter table clips rename to clips_away").run();
  expect((await ask("POST", "/v1/clips", body)).status).toBe(500);
  expect((await attempt("heartbeat", LOADING)).status).toBe(500);
  await (await ask("POST", "/mcp", rpc, accept)).text();
  await env.DB.prepare("alter table clips_away rename to clips").run();
  await env.DB.prepare("alter table api_key_secrets rename to secrets_away").run();
  expect((await ask("GET", "/v1/clips")).status).toBe(500);
  expect((await ask("POST", `/v1/keys/${made.id}/rotate`, {})).status).toBe(500);
  await env.DB.prepare("alter table secrets_away rename to api_key_secrets").run();
}

describe("no line", () => {
  it("holds a key, a token, a signature, a webhook's secret or URL, a prompt or a customer's words", async () => {
    const secrets = new Set<string>();
    await useAll(secrets);
    expect(secrets.size).toBeGreaterThan(24);
    expect(requests().length).toBeGreaterThan(50);
    const logged = lines.join("\n");
    // A credential is its random part; of one that is cut short, still enough to be found.
    const parts = [...secrets].flatMap((secret) => [
      secret,
      encodeURIComponent(secret),
      secret.split("_").at(3) ?? secret,
    ]);
    expect(parts.filter((part) => logged.includes(part))).toEqual([]);
    // The search finds what is there.
    expect(logged).toContain("no such table");
    const parsed = logged.split("\n").map((line) => JSON.parse(line) as Line);
    expect(parsed.every(({ level, message }) => typeof level === "string" && typeof message === "string")).toBe(true);
  });
});
