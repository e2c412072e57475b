// The MCP endpoint by the protocol's official client, and by hand where that client sends nothing wrong.
import { exports } from "cloudflare:workers";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import type { CallToolResult, Progress } from "@modelcontextprotocol/sdk/types.js";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Clip, clipSchema } from "../../../shared/contract/clips.ts";
import { env } from "../support/env.ts";
import { call, expectProblem, ORIGIN } from "../support/http.ts";
import { everything, expectInvariants } from "../support/invariants.ts";
import { newKey } from "../support/keys.ts";
import { claimOne, newRunner, newTenant, type Tenant } from "../support/tenant.ts";
import { CLIP_PRICE, completion, DEMO, FILES, freshDeployment, LOADING } from "../support/world.ts";

beforeEach(freshDeployment);

const ABSENT = "clip_01j9z3k4m5n6p7q8r9s0t1v2w3";
const ORDER = { model: DEMO, prompt: "a red ball" };
const clients: Client[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
});

async function connect({ key }: Pick<Tenant, "key">): Promise<Client> {
  const client = new Client({ name: "a test", version: "1" });
  const transport = new StreamableHTTPClientTransport(new URL(`${ORIGIN}/mcp`), {
    requestInit: { headers: { authorization: `Bearer ${key}` } },
    fetch: async (input, init) => await exports.default.fetch(new Request(input, init)),
  });
  await client.connect(transport as Parameters<Client["connect"]>[0]);
  clients.push(client);
  return client;
}

async function use(client: Client, name: string, args: object): Promise<CallToolResult> {
  return (await client.callTool({ name, arguments: { ...args } })) as CallToolResult;
}

function textOf({ content }: CallToolResult): string {
  const [first] = content;
  if (first?.type !== "text") throw new Error("a tool answers with text");
  return first.text;
}

/** The clip in the answer, which has it twice: for programs and as text. */
function clipOf(result: CallToolResult): Clip {
  expect(result.isError).toBeUndefined();
  const clip = clipSchema.strict().parse(result.structuredContent);
  expect(clipSchema.parse(JSON.parse(textOf(result)))).toEqual(clip);
  return clip;
}

function refusalOf(result: CallToolResult): string {
  expect(result.isError).toBe(true);
  return textOf(result);
}

describe("the MCP endpoint", () => {
  it("introduces itself and its three tools, with their inputs", async () => {
    const client = await connect(await newTenant());
    expect(client.getServerVersion()).toMatchObject({ name: "turboclip" });
    expect(client.getInstructions()).toContain("create_clip");
    const { tools } = await client.listTools();
    expect(tools.map(({ name, inputSchema }) => [name, inputSchema.required])).toEqual([
      ["create_clip", ["model", "prompt"]],
      ["wait_for_clip", ["id"]],
      ["get_clip", ["id"]],
    ]);
    expect(JSON.stringify(tools[0]?.inputSchema.properties?.model)).toContain(DEMO);
    expect(tools[0]?.inputSchema.properties).not.toHaveProperty("n");
  });

  it("orders a clip, shows it, and follows it with its progress until it has succeeded", async () => {
    const tenant = await newTenant();
    const client = await connect(tenant);
    const { id, price_micros } = clipOf(await use(client, "create_clip", { ...ORDER, seed: 7 }));
    expect(price_micros).toBe(CLIP_PRICE);
    expect(clipOf(await use(client, "get_clip", { id }))).toMatchObject({ id, state: "queued", seed: 7 });
    const told: Progress[] = [];
    const runner = await newRunner();
    const { lease_token: token } = await claimOne(runner);
    const attempt = `/runner/v1/attempts/${token}`;
    const beat = async (body: object) => {
      await call("POST", `${attempt}/heartbeat`, { token: runner.token, body });
    };
    await beat(LOADING);
    // Each news lets the runner go on, so the order of things is certain.
    const next = [
      async () => await beat({ stage: "denoise", step: 2, steps: 4 }),
      async () => {
        await env.BUCKET.put(`clips/${id}/1/clip.mp4`, FILES.mp4);
        await env.BUCKET.put(`clips/${id}/1/poster.jpg`, FILES.poster);
        await call("POST", `${attempt}/complete`, { token: runner.token, body: await completion() });
      },
    ];
    const acts: Promise<void>[] = [];
    const onprogress = (news: Progress) => {
      told.push(news);
      const act = next.shift();
      if (act !== undefined) acts.push(act());
    };
    const params = { name: "wait_for_clip", arguments: { id, timeout_s: 60 } };
    const waited = (await client.callTool(params, undefined, { onprogress })) as CallToolResult;
    await Promise.all(acts);
    expect(clipOf(waited)).toMatchObject({ id, state: "succeeded", charged_micros: CLIP_PRICE });
    expect(told.map(({ progress, total }) => [progress, total])).toEqual([
      [0, 100],
      [45, 100],
      [100, 100],
    ]);
    await expectInvariants();
  });

  it("answers with the clip as it is when the time is up", async () => {
    const client = await connect(await newTenant());
    const { id } = clipOf(await use(client, "create_clip", ORDER));
    expect(clipOf(await use(client, "wait_for_clip", { id, timeout_s: 0 })).state).toBe("queued");
  });

  it("orders once for one idempotency key, which it shares with POST /v1/clips", async () => {
    const tenant = await newTenant();
    const client = await connect(tenant);
    const args = { ...ORDER, idempotency_key: "k-1" };
    const { id } = clipOf(await use(client, "create_clip", args));
    expect(clipOf(await use(client, "create_clip", args)).id).toBe(id);
    const headers = { "idempotency-key": "k-1" };
    const clip = await call("POST", "/v1/clips", { token: tenant.key, body: ORDER, headers });
    expect(((await clip.json()) as { id: string }).id).toBe(id);
    expect(refusalOf(await use(client, "create_clip", { ...args, prompt: "a blue ball" }))).toContain(
      "idempotency_mismatch: ",
    );
    await expectInvariants();
  });

  it.each([
    ["prompt_empty: ", { ...ORDER, prompt: " " }],
    ["model_unknown: ", { ...ORDER, model: "sora" }],
    ["size_not_allowed: ", { ...ORDER, size: "832x480" }],
    ["frames_invalid: ", { ...ORDER, frames: 32 }],
    ["steps", { ...ORDER, steps: 5 }],
    ["quality", { ...ORDER, quality: "hd" }],
    ["prompt", { model: DEMO }],
  ])("tells the model %s for %j, and nothing is charged", async (words, args) => {
    const client = await connect(await newTenant());
    const before = await everything();
    expect(refusalOf(await use(client, "create_clip", args))).toContain(words);
    expect(await everything()).toEqual(before);
  });

  it("tells the model that the balance is too low", async () => {
    const client = await connect(await newTenant(CLIP_PRICE - 1));
    expect(refusalOf(await use(client, "create_clip", ORDER))).toMatch(/^insufficient_balance: The clip costs 408/);
  });

  it("answers for a foreign clip as for an absent one", async () => {
    const owner = await connect(await newTenant());
    const stranger = await connect(await newTenant());
    const { id } = clipOf(await use(owner, "create_clip", ORDER));
    for (const tool of ["get_clip", "wait_for_clip"]) {
      const foreign = await use(stranger, tool, { id });
      expect(foreign).toEqual(await use(stranger, tool, { id: ABSENT }));
      expect(refusalOf(foreign)).toBe("not_found: There is no such clip.");
      expect(refusalOf(await use(stranger, tool, { id: "nonsense" }))).toContain("id");
    }
    expect(refusalOf(await use(stranger, "get_clip", { id, timeout_s: 5 }))).toContain("timeout_s");
    expect(refusalOf(await use(stranger, "wait_for_clip", { id, timeout_s: 61 }))).toContain("timeout_s");
    expect(refusalOf(await use(stranger, "delete_clip", { id }))).toContain("delete_clip");
  });

  it("orders only for a key that may, and shows clips to one that may only read", async () => {
    const tenant = await newTenant();
    const { id } = clipOf(await use(await connect(tenant), "create_clip", ORDER));
    const reader = await connect(await newKey(tenant, { scopes: ["clips:read"] }));
    expect(clipOf(await use(reader, "get_clip", { id })).id).toBe(id);
    const before = await everything();
    expect(refusalOf(await use(reader, "create_clip", ORDER))).toMatch(/^scope_missing: .*clips:write/);
    expect(await everything()).toEqual(before);
    await expect(connect(await newKey(tenant, { scopes: ["clips:write"] }))).rejects.toThrow("scope_missing");
  });

  it("answers internal with no word about the inside, and logs neither key nor prompt", async () => {
    const tenant = await newTenant();
    const client = await connect(tenant);
    const lines: string[] = [];
    for (const method of ["info", "warn", "error"] as const) {
      vi.spyOn(console, method).mockImplementation((line: string) => void lines.push(line));
    }
    await env.DB.prepare("alter table clips rename to clips_away").run();
    const refused = refusalOf(await use(client, "create_clip", { ...ORDER, prompt: "a secret prompt" }));
    vi.restoreAllMocks();
    expect(refused).toMatch(/^internal: Something went wrong on our side \(req_\w+\)\.$/);
    const logged = lines.join("\n");
    expect(logged).toContain("no such table");
    expect(logged).not.toContain("secret prompt");
    expect(logged).not.toContain(tenant.key);
  });
});

describe("requests to /mcp", () => {
  const headers = { accept: "application/json, text/event-stream" };
  const ping = { jsonrpc: "2.0", id: 1, method: "ping" };

  it("need a key", async () => {
    const answer = await call("POST", "/mcp", { body: ping, headers });
    expect(answer.headers.get("www-authenticate")).toContain("Bearer");
    await expectProblem(answer, "unauthenticated");
    await expect(connect({ key: "nonsense" })).rejects.toThrow();
  });

  it.each(["GET", "DELETE", "PUT"])("by %s are answered 405, as the protocol has it", async (method) => {
    const { key } = await newTenant();
    const answer = await call(method, "/mcp", { token: key, headers });
    expect([answer.status, answer.headers.get("allow")]).toEqual([405, "POST"]);
    expect(await answer.json()).toMatchObject({ jsonrpc: "2.0", error: { code: -32_000 } });
  });

  it("that are too large, no JSON, no message or in no language we speak are refused", async () => {
    const { key: token } = await newTenant();
    expect((await call("POST", "/mcp", { token, body: ping, headers })).status).toBe(200);
    const large = { ...ping, params: { padding: "x".repeat(70_000) } };
    await expectProblem(await call("POST", "/mcp", { token, body: large, headers }), "body_too_large");
    expect((await call("POST", "/mcp", { token, body: "{", headers })).status).toBe(400);
    expect((await call("POST", "/mcp", { token, body: { hello: 1 }, headers })).status).toBe(400);
    expect((await call("POST", "/mcp", { token, body: ping })).status).toBe(406);
    const plain = { ...headers, "content-type": "text/plain" };
    expect((await call("POST", "/mcp", { token, body: JSON.stringify(ping), headers: plain })).status).toBe(415);
    const old = { ...headers, "mcp-protocol-version": "1999-01-01" };
    expect((await call("POST", "/mcp", { token, body: ping, headers: old })).status).toBe(400);
  });
});
