// The routes that the document does not describe (runners, the operator, MCP, chats, payments, probes): right and wrong
// requests of each, by a seed as the fuzz of the document has it. None is answered 5xx, and each refusal is a problem.
import { beforeAll, describe, expect, it } from "vitest";
import { createApp } from "../../../edge/app.ts";
import { problemSchema } from "../../../shared/contract/clips.ts";
import { Random } from "../../simulation/random.ts";
import { env } from "../support/env.ts";
import { call, ORIGIN } from "../support/http.ts";
import { claimOne, newRunner, pollBody, type TestRunner } from "../support/tenant.ts";
import { completion, freshDeployment, LOADING } from "../support/world.ts";
import { type Account, idFrom, newAccount, ORDER, send } from "./deployment.ts";
import { type Document, operationsOf } from "./document.ts";
import { Generator, nastyValue, STRINGS } from "./generate.ts";

const { FUZZ_SEED, FUZZ_CASES } = env;

let account: Account;
let runner: TestRunner;
let lease: string;
let document: Document;
let bodies: Readonly<Record<string, unknown>>;

beforeAll(async () => {
  await freshDeployment();
  document = await (await call("GET", "/openapi.json")).json();
  account = await newAccount();
  await idFrom(await call("POST", "/v1/clips", { token: account.bearer, body: ORDER }));
  runner = await newRunner();
  lease = (await claimOne(runner)).lease_token;
  const upload = { kind: "mp4", bytes: 4, md5: "1B2M2Y8AsgTpgAmY7PhCfg==", type: "video/mp4" };
  const tool = { name: "create_clip", arguments: { ...ORDER, frames: 5 } };
  bodies = {
    "POST /runner/v1/poll": pollBody(runner),
    "POST /runner/v1/attempts/:token/heartbeat": LOADING,
    "POST /runner/v1/attempts/:token/uploads": upload,
    "POST /runner/v1/attempts/:token/complete": await completion(),
    "POST /runner/v1/attempts/:token/fail": { code: "engine_failed", message: "no", retryable: true },
    "POST /admin/v1/accounts": { name: "a customer" },
    "POST /admin/v1/accounts/:id/grants": { amount_micros: 5, reason: "r", idempotency_key: "k" },
    "POST /admin/v1/accounts/:id/keys": { name: "k", daily_cap_micros: 4, expires_at: "2099-01-01T00:00:00Z" },
    "POST /admin/v1/keys/:id/rotate": { overlap_seconds: 5 },
    "PATCH /admin/v1/keys/:id": { name: "k", scopes: ["clips:read"] },
    "PATCH /admin/v1/accounts/:id": { daily_cap_micros: null, max_in_flight: 1_000, log_prompts: false },
    "POST /admin/v1/clips/:id/refunds": { amount_micros: 1, reason: "r", idempotency_key: "k" },
    "POST /admin/v1/runners": { name: "r" },
    "POST /mcp": { jsonrpc: "2.0", id: 1, method: "tools/call", params: tool },
  };
});

/** By the pattern that the app routes by. */
function hiddenRoutes(): { method: string; path: string }[] {
  const described = new Set(
    operationsOf(document).map(({ method, path }) => `${method} ${path.replaceAll(/\{(\w+)\}/g, ":$1")}`),
  );
  const routes = createApp().routes.filter(({ method }) => method !== "ALL" && method !== "OPTIONS");
  const names = routes.map(({ method, path }) => `${method} ${path.replaceAll(/\{[^}]*\}/g, "")}`);
  return [...new Set(names)]
    .filter((name) => !described.has(name))
    .map((name) => ({ method: name.split(" ")[0] ?? "", path: name.split(" ")[1] ?? "" }));
}

function bearerFor(path: string): string {
  if (path.startsWith("/admin/") || path === "/metrics") return env.ADMIN_TOKEN;
  return path.startsWith("/runner/") ? runner.token : account.bearer;
}

function draw(random: Random, generator: Generator, { method, path }: { method: string; path: string }): Request {
  const prefix = { accounts: "acct", keys: "key", clips: "clip", runners: "rnr" }[path.split("/")[3] ?? ""] ?? "";
  const known: Readonly<Record<string, string>> = { acct: account.tenant.accountId, rnr: runner.id };
  const id = random.chance(0.8) ? (known[prefix] ?? generator.id(prefix)) : String(nastyValue(random));
  const token = random.chance(0.8) ? lease : random.pick(STRINGS);
  const at = path
    .replace(":id", () => encodeURIComponent(id.toWellFormed()))
    .replace(":token", () => encodeURIComponent(token.toWellFormed()));
  const query = random.chance(0.2) ? `?${random.pick(["limit", "after", "account", "code", "state"])}=%00x` : "";
  const headers = new Headers({ accept: "application/json, text/event-stream" });
  if (random.chance(0.9)) headers.set("authorization", `Bearer ${bearerFor(path)}`);
  for (const name of ["x-slack-signature", "x-signature-ed25519", "stripe-signature"]) {
    if (random.chance(0.3)) headers.set(name, random.pick(["v0=00", "00".repeat(64), "t=1,v1=00", "", "x"]));
  }
  for (const name of ["x-slack-request-timestamp", "x-signature-timestamp"]) {
    if (random.chance(0.3))
      headers.set(name, random.pick([String(Math.floor(Date.now() / 1_000)), "NaN", "-1", "1e99"]));
  }
  if (method === "GET") return new Request(`${ORIGIN}${at}${query}`, { method, headers });
  const valid = bodies[`${method} ${path}`] ?? {};
  const body = random.weighted({ valid: 3, broken: 6, nasty: 1, raw: 1 });
  headers.set("content-type", random.chance(0.9) ? "application/json" : "application/x-www-form-urlencoded");
  const value = { valid, broken: generator.broken(valid), nasty: nastyValue(random), raw: null }[body];
  const text = body === "raw" ? random.pick(["", "{", "payload=%7B", "payload={}&ssl_check=1", "\u0000"]) : null;
  return new Request(`${ORIGIN}${at}${query}`, { method, headers, body: text ?? JSON.stringify(value) ?? "" });
}

async function faultsOf(path: string, answer: Response): Promise<string[]> {
  const text = await answer.text();
  const faults = answer.status >= 500 ? [`status ${answer.status}: ${text.slice(0, 200)}`] : [];
  if (answer.status < 400 || answer.headers.get("content-type")?.startsWith("text/html")) return faults;
  // What the protocol itself refuses is told in its own words.
  if (path === "/mcp" && (JSON.parse(text) as { jsonrpc?: string }).jsonrpc === "2.0") return faults;
  const problem = problemSchema.strict().safeParse(JSON.parse(text));
  if (problem.success && problem.data.status === answer.status) return faults;
  return [...faults, `status ${answer.status} without a problem: ${text.slice(0, 200)}`];
}

describe("a fuzz of the routes that the document does not describe", () => {
  it("finds no 5xx, and every refusal a problem", { timeout: 600_000 }, async () => {
    const random = new Random(FUZZ_SEED);
    const generator = new Generator(random, document, { own: account.owned, others: {} });
    const found: string[] = [];
    const routes = hiddenRoutes();
    expect(routes.length).toBeGreaterThan(25);
    // What revokes and drains comes last.
    const harm = ({ method, path }: { method: string; path: string }) =>
      Number(method === "DELETE" || path.endsWith("/drain") || path.endsWith("/release"));
    for (const route of routes.toSorted((a, b) => harm(a) - harm(b))) {
      const statuses = new Set<number>();
      for (let i = 0; i < FUZZ_CASES; i++) {
        const request = draw(random, generator, route);
        const body = new TextDecoder().decode(await request.clone().arrayBuffer());
        const shown = `${request.method} ${request.url.slice(0, 200)} ${body.slice(0, 300)}`;
        const answer = await send(request);
        statuses.add(answer.status);
        found.push(...(await faultsOf(route.path, answer)).map((fault) => `case ${i}: ${shown}\n  ${fault}`));
      }
      // Whoever signs, and probes that take nothing, aside.
      const isOpen = bodies[`${route.method} ${route.path}`] !== undefined && !route.path.includes(":token");
      if (isOpen && Math.min(...statuses) >= 400) found.push(`${route.path} answered only ${[...statuses].join(", ")}`);
    }
    expect(found, `FUZZ_SEED=${FUZZ_SEED}`).toEqual([]);
  });
});
