// For each code that the document gives an operation a request that is refused by it: by the code alone where that is
// enough, else by operation and code.

import { STRIPE_WEBHOOK_PATH } from "../../../edge/integrations/stripe/endpoint.ts";
import { SCOPES } from "../../../shared/contract/keys.ts";
import { RATE_POLICIES } from "../../../shared/contract/rate-limits.ts";
import { env } from "../support/env.ts";
import { type Call, call, ORIGIN } from "../support/http.ts";
import { newKey } from "../support/keys.ts";
import { admin, newTenant } from "../support/tenant.ts";
import { TEMPLATE } from "../support/triggers.ts";
import { type Account, finishedClip, idFrom, newUpload, ORDER, send, stripe, TOP_UP } from "./deployment.ts";
import type { Operation } from "./document.ts";
import { BROWSER, EXAMPLES, type Example, endedClip, queuedClip, signedUrl, videoForm } from "./examples.ts";
import { DELIVERIES, PREVIEWS, skipped } from "./trigger-refusals.ts";

export interface Case {
  readonly operation: Operation;
  readonly account: Account;
}

export type Recipe = (given: Case) => Promise<Response>;

export async function exampleOf({ operation, account }: Case): Promise<Example> {
  const make = EXAMPLES[operation.operationId];
  if (make === undefined) throw new Error(`test/edge/openapi/examples.ts has no example of ${operation.operationId}`);
  return await make(account);
}

/** The example, changed. */
export async function ask(given: Case, change: Call & { readonly path?: string } = {}): Promise<Response> {
  const example = await exampleOf(given);
  const headers = { ...example.headers, ...change.headers };
  const token = given.operation.security === undefined ? {} : { token: given.account.bearer };
  const { path, ...call_ } = { ...token, ...example, ...change, headers };
  return await call(given.operation.method, path, call_);
}

const ABSENT = "01j9z3k4m5n6p7q8r9s0t1v2w3";
const FUTURE = "2099-01.csv";

/** The address with another id of the same kind. */
export function withId(path: string, id: string): string {
  const of = /[a-z]+_[0-9a-z]{26}/.exec(path)?.[0];
  return of === undefined ? path.replace(/[^/]+\.csv$/, FUTURE) : path.replace(of, id);
}

async function keyOf({ account }: Case, wanted: Parameters<typeof newKey>[1]): Promise<string> {
  return (await newKey(account.tenant, wanted)).key;
}

/** Asked by an account of its own until it has too many. */
async function untilRefused(given: Case): Promise<Response> {
  const { key: token } = await newKey(await newTenant(), { scopes: SCOPES });
  for (;;) {
    const answer = await ask(given, { token });
    if (answer.status !== 201) return answer;
    await answer.text();
  }
}

/** Only with the scope that the operation asks for, so that every other key of the account is stronger. */
async function weakKey(given: Case): Promise<string> {
  const scope = SCOPES.find((one) => one === given.operation.security?.[0]?.apiKey?.[0]);
  if (scope === undefined) throw new Error("the operation names no scope");
  return await keyOf(given, { scopes: [scope] });
}

async function browserToken({ account }: Case, wanted: object = {}): Promise<string> {
  const body = { ...BROWSER, ...wanted };
  const answer = await call("POST", "/v1/browser-tokens", { token: account.bearer, body });
  return ((await answer.json()) as { token: string }).token;
}

async function afterRevoking(id: string): Promise<void> {
  await (await admin("DELETE", `/keys/${id}`)).text();
}

/** One request, to be sent to deployments with these settings of their own. */
async function askOf(given: Case): Promise<(bindings: object) => Promise<Response>> {
  const { path, headers, body } = await exampleOf(given);
  const token = await keyOf(given, { scopes: SCOPES });
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const request = () =>
    new Request(`${ORIGIN}${path}`, {
      method: given.operation.method,
      headers: { "content-type": "application/json", ...headers, authorization: `Bearer ${token}` },
      ...(text !== undefined && { body: text }),
    });
  return async (bindings) => await send(request(), bindings);
}

const BY_CODE: Readonly<Record<string, Recipe>> = {
  unauthenticated: async (given) => await ask(given, { token: "tc_live_nonsense" }),
  key_revoked: async (given) => {
    const { id, key: token } = await newKey(given.account.tenant);
    await afterRevoking(id);
    return await ask(given, { token });
  },
  key_expired: async (given) => {
    const { id, key: token } = await newKey(given.account.tenant, { expires_at: "2099-01-01T00:00:00Z" });
    await env.DB.prepare("update api_keys set expires_at_ms = 1 where id = ?").bind(id).run();
    return await ask(given, { token });
  },
  scope_missing: async (given) => {
    const needed = given.operation.security?.[0]?.apiKey?.[0];
    return await ask(given, { token: await keyOf(given, { scopes: SCOPES.filter((scope) => scope !== needed) }) });
  },
  origin_not_allowed: async (given) =>
    await ask(given, { token: await browserToken(given), headers: { origin: "https://elsewhere.example" } }),
  api_version_unknown: async (given) => await ask(given, { headers: { "turboclip-version": "2020-01-01" } }),
  headers_too_large: async (given) => await ask(given, { headers: { "x-padding": "x".repeat(20_000) } }),
  body_too_large: async (given) => await ask(given, { body: " ".repeat(70_000) }),
  rate_limited: async (given) => {
    const ask = await askOf(given);
    const once = { quota: 1, windowS: 3_600 };
    const RATE_LIMITS = JSON.stringify(Object.fromEntries(RATE_POLICIES.map((policy) => [policy, once])));
    await (await ask({ RATE_LIMITS })).body?.cancel();
    return await ask({ RATE_LIMITS });
  },
  moderated: async (given) => await (await askOf(given))({ MODERATION_TERMS: "ball\nconfetti" }),
  moderation_unavailable: async (given) => {
    const MODERATION_SECRET = `whsec_${btoa("0".repeat(24))}`;
    return await (await askOf(given))({ MODERATION_URL: "http://127.0.0.1:9/", MODERATION_SECRET });
  },
  not_found: async (given) => {
    const { path } = await exampleOf(given);
    const prefix = /([a-z]+)_[0-9a-z]{26}/.exec(path)?.[1] ?? "";
    return await ask(given, { path: withId(path, `${prefix}_${ABSENT}`) });
  },
  invalid_request: async (given) => {
    const { path, body } = await exampleOf(given);
    if (body !== undefined) return await ask(given, { body: '{"unknown":1}' });
    const query = given.operation.parameters?.find((parameter) => parameter.in === "query")?.name ?? "";
    if (query !== "") return await ask(given, { path: `${path}?${query}=${"x".repeat(500)}` });
    return await ask(given, { headers: { prefer: "x".repeat(201), "last-event-id": "x".repeat(201) } });
  },
  exceeds_own_key: async (given) => await ask(given, { token: await weakKey(given) }),
  key_not_active: async (given) => {
    const { path } = await exampleOf(given);
    await afterRevoking(/key_[0-9a-z]{26}/.exec(path)?.[0] ?? "");
    return await ask(given, { path });
  },
  not_deletable: async (given) => {
    const { path } = await exampleOf(given);
    return await ask(given, { path: withId(path, await queuedClip(given.account.bearer)) });
  },
  range_not_satisfiable: async (given) => await ask(given, { headers: { range: "bytes=99-" } }),
};

/** An order refused for a member: of clips and estimates as JSON, of videos as a form. */
const ordering =
  (fields: Readonly<Record<string, unknown>>): Recipe =>
  async (given) => {
    if (given.operation.operationId !== "createVideo") return await ask(given, { body: { ...ORDER, ...fields } });
    return await ask(given, videoForm(fields as Readonly<Record<string, string>>));
  };

const ORDERS: Readonly<Record<string, Recipe>> = {
  prompt_empty: ordering({ prompt: " " }),
  prompt_too_long: ordering({ prompt: "x".repeat(4_001) }),
  model_unknown: ordering({ model: "none" }),
  size_not_allowed: ordering({ size: "100x100" }),
  frames_invalid: ordering({ frames: 34 }),
  input_not_allowed: ordering({ image: `upl_${ABSENT}` }),
  insufficient_balance: async (given) => await ask(given, { token: (await newTenant(0)).key }),
  cap_exceeded: async (given) =>
    await ask(given, { token: await keyOf(given, { scopes: SCOPES, daily_cap_micros: 0 }) }),
  token_spent: async (given) => {
    const [origin] = BROWSER.origins;
    const token = await browserToken(given, { max_clips: 1 });
    await (await ask(given, { token, headers: { origin } })).text();
    return await ask(given, { token, headers: { origin } });
  },
  too_many_in_flight: async (given) => {
    const { accountId, key: token } = await newTenant();
    await (await admin("PATCH", `/accounts/${accountId}`, { max_in_flight: 1 })).text();
    await (await ask(given, { token })).text();
    return await ask(given, { token });
  },
  idempotency_mismatch: async (given) => {
    const headers = { "idempotency-key": `mismatch-${given.operation.operationId}` };
    await (await ask(given, { headers })).text();
    return await (given.operation.operationId === "createVideo"
      ? ask(given, { ...videoForm({ prompt: "another" }), headers: { ...videoForm().headers, ...headers } })
      : ask(given, { body: { ...ORDER, prompt: "another" }, headers }));
  },
  clip_deleted: async (given) => {
    const { bearer: token } = given.account;
    const headers = { "idempotency-key": `deleted-${given.operation.operationId}` };
    const id = await idFrom(await ask(given, { headers }));
    await (await call("POST", `/v1/clips/${id}/cancel`, { token })).text();
    await (await call("DELETE", `/v1/clips/${id}`, { token })).text();
    return await ask(given, { headers });
  },
};

/** As a deployment answers whose settings name no Stripe account. */
async function withoutStripe(given: Case): Promise<Response> {
  const { path, body } = await exampleOf(given);
  const headers = { "content-type": "application/json", authorization: `Bearer ${given.account.bearer}` };
  const request = new Request(`${ORIGIN}${path}`, {
    method: given.operation.method,
    headers,
    body: JSON.stringify(body),
  });
  return await send(request, { STRIPE_SECRET_KEY: undefined, STRIPE_WEBHOOK_SECRET: undefined });
}

const setting =
  (member: string, value: string | number): Recipe =>
  async (given) =>
    await ask(given, { body: { ...TEMPLATE, clip: { ...TEMPLATE.clip, [member]: value } } });

/** Of a trigger. */
const SETTINGS: Readonly<Record<string, Recipe>> = {
  model_unknown: setting("model", "none"),
  size_not_allowed: setting("size", "100x100"),
  frames_invalid: setting("frames", 34),
};

const signed = async ({ account }: Case, change: (url: string) => string) =>
  await call("GET", change(await signedUrl(account.bearer)));

const BY_OPERATION: Readonly<Record<string, Readonly<Record<string, Recipe>>>> = {
  createClip: ORDERS,
  createVideo: ORDERS,
  estimateClip: ORDERS,
  downloadFile: {
    unauthenticated: async (given) => await signed(given, (url) => url.replace(/sig=../, "sig=xx")),
    not_found: async (given) => await signed(given, (url) => url.replace("/mp4", "/sound")),
    invalid_request: async (given) => await signed(given, (url) => url.replace(/attempt=\d+/, "attempt=x")),
    expired: async (given) => {
      const url = await signedUrl(given.account.bearer);
      await env.BUCKET.delete(`clips/${/clip_[0-9a-z]{26}/.exec(url)?.[0]}/1/clip.mp4`);
      return await call("GET", url);
    },
  },
  downloadVideo: {
    expired: async (given) => {
      const id = await finishedClip(given.account.bearer);
      await env.DB.prepare("update clips set output_expires_at_ms = 1 where id = ?").bind(id).run();
      return await ask(given, { path: `/v1/videos/${id}/content` });
    },
  },
  cancelClip: {
    not_cancellable: async (given) =>
      await ask(given, { path: `/v1/clips/${await finishedClip(given.account.bearer)}/cancel` }),
  },
  completeUpload: {
    upload_missing: async (given) =>
      await ask(given, { path: `/v1/uploads/${await newUpload(given.account.bearer)}/complete` }),
    upload_rejected: async (given) => {
      const id = await newUpload(given.account.bearer);
      await env.BUCKET.put(`uploads/${id}`, "no picture");
      return await ask(given, { path: `/v1/uploads/${id}/complete` });
    },
  },
  createKey: {
    exceeds_own_key: async (given) =>
      await ask(given, { token: await weakKey(given), body: { name: "k", scopes: SCOPES } }),
    too_many_keys: untilRefused,
  },
  setAutoTopUp: {
    not_found: async (given) => await withoutStripe(given),
  },
  createTopUp: {
    not_found: async (given) => await withoutStripe(given),
    idempotency_mismatch: async (given) => {
      const headers = { "idempotency-key": "mismatch-top-up" };
      await (await ask(given, { headers })).text();
      return await ask(given, { headers, body: { ...TOP_UP, amount_micros: 2 * TOP_UP.amount_micros } });
    },
    expired: async (given) => {
      const headers = { "idempotency-key": "expired-top-up" };
      const id = await idFrom(await ask(given, { headers }));
      const never = "update top_ups set session_id = null, url = null, created_at_ms = 1 where id = ?";
      await env.DB.prepare(never).bind(id).run();
      return await ask(given, { headers });
    },
    payment_unavailable: async (given) => {
      stripe.strike({ status: 400 });
      return await ask(given);
    },
  },
  getTopUp: {
    payment_unavailable: async (given) => {
      const { owned } = given.account;
      const session = stripe.sessions.find(({ metadata }) => metadata.top_up_id === owned.top[0]);
      if (session === undefined) throw new Error("the top-up has no session");
      const { body, signature } = await stripe.pay(session);
      const headers = { "stripe-signature": signature };
      await (await call("POST", STRIPE_WEBHOOK_PATH, { body, headers })).text();
      stripe.strike({ status: 400 });
      return await ask(given);
    },
  },
  deliver: DELIVERIES,
  createTrigger: SETTINGS,
  updateTrigger: SETTINGS,
  previewTrigger: PREVIEWS,
  createChatLink: { too_many_links: untilRefused },
  testWebhookEndpoint: {
    invalid_request: async (given) => {
      const { bearer: token } = given.account;
      const body = { url: "http://127.0.0.1:9/hook" };
      const id = await idFrom(await call("POST", "/v1/webhook-endpoints", { token, body }));
      await (await call("PATCH", `/v1/webhook-endpoints/${id}`, { token, body: { enabled: false } })).text();
      return await ask(given, { path: `/v1/webhook-endpoints/${id}/test` });
    },
  },
};

/** Of what succeeds in more ways than one, all but the example's. */
const SUCCESSES: Readonly<Record<string, Recipe>> = {
  "createClip 200": async (given) => {
    const headers = { "idempotency-key": "ended", prefer: "wait=1" };
    const { bearer: token } = given.account;
    const id = await idFrom(await ask(given, { headers: { "idempotency-key": "ended" } }));
    await (await call("POST", `/v1/clips/${id}/cancel`, { token })).text();
    return await ask(given, { headers });
  },
  "deliver 200": skipped,
  "watchClip 204": async (given) => {
    const path = `/v1/clips/${await endedClip(given.account.bearer)}/events`;
    const events = await (await ask(given, { path })).text();
    return await ask(given, { path, headers: { "last-event-id": /^id: (.*)$/m.exec(events)?.[1] ?? "" } });
  },
  "downloadFile 206": async (given) => await ask(given, { headers: { range: "bytes=0-0" } }),
  "downloadVideo 206": async (given) => await ask(given, { headers: { range: "bytes=0-0" } }),
  "downloadFile 304": async (given) => await ask(given, { headers: { "if-none-match": "*" } }),
  "downloadVideo 304": async (given) => await ask(given, { headers: { "if-none-match": "*" } }),
};

/** How to have the operation answer this; undefined where nobody has said. Code "" is a success. */
export function recipeFor({ operationId }: Operation, status: number, code: string): Recipe | undefined {
  if (code === "") return SUCCESSES[`${operationId} ${status}`] ?? ask;
  return BY_OPERATION[operationId]?.[code] ?? BY_CODE[code];
}
