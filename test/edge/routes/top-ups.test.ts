// Money in by HTTP: who may ask for it, what is refused, and the endpoint as Stripe meets it, signatures to the byte.
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createApp } from "../../../edge/app.ts";
import { STRIPE_WEBHOOK_PATH } from "../../../edge/integrations/stripe/endpoint.ts";
import { auditPageSchema } from "../../../shared/contract/audit.ts";
import { balanceSchema } from "../../../shared/contract/balance.ts";
import { type TopUp, topUpPageSchema, topUpSchema } from "../../../shared/contract/payments.ts";
import type { Signed, StripeDouble } from "../../support/stripe/double.ts";
import { env } from "../support/env.ts";
import { call, expectProblem } from "../support/http.ts";
import { everything, expectInvariants } from "../support/invariants.ts";
import { newKey } from "../support/keys.ts";
import { openStripe } from "../support/stripe.ts";
import { newTenant, type Tenant } from "../support/tenant.ts";
import { freshDeployment } from "../support/world.ts";

const BODY = {
  amount_micros: 20_000_000,
  success_url: "https://www.example.com/paid",
  cancel_url: "http://localhost:3000/credit",
};
let stripe: StripeDouble;
let tenant: Tenant;
let token: string;

beforeEach(async () => {
  await freshDeployment();
  stripe = openStripe();
  tenant = await newTenant(0);
  token = (await newKey(tenant)).key;
});

afterEach(async () => {
  vi.unstubAllGlobals();
  await expectInvariants();
});

async function topUp(body: object = BODY): Promise<TopUp> {
  const answer = await call("POST", "/v1/top-ups", { token, body });
  expect(answer.status).toBe(201);
  return topUpSchema.parse(await answer.json());
}

async function post({ body, signature }: Signed): Promise<Response> {
  return await call("POST", STRIPE_WEBHOOK_PATH, { body, headers: { "stripe-signature": signature } });
}

async function paid(atMs?: number): Promise<Signed> {
  await topUp();
  const session = stripe.sessions.at(-1);
  if (session === undefined) throw new Error("no session was made");
  const { body } = await stripe.pay(session);
  return await stripe.sign(body, atMs);
}

async function balance(): Promise<number> {
  return balanceSchema.parse(await (await call("GET", "/v1/balance", { token })).json()).available_micros;
}

it("buys credit, tells of it and writes both acts down", async () => {
  const answer = await post(await paid());
  expect([answer.status, await answer.json()]).toEqual([200, { outcome: "applied" }]);
  expect(await balance()).toBe(BODY.amount_micros);
  const page = topUpPageSchema.parse(await (await call("GET", "/v1/top-ups", { token })).json());
  expect(page).toMatchObject({ data: [{ state: "paid", amount_micros: BODY.amount_micros }], next: null });
  const log = auditPageSchema.parse(await (await call("GET", "/v1/audit-log", { token })).json());
  const acts = log.data.filter(({ subject }) => subject === page.data[0]?.id);
  expect(acts.map(({ actor, action }) => [actor.slice(0, 4), action])).toEqual([
    ["stri", "payment.booked"],
    ["key_", "top_up.created"],
  ]);
});

it("takes an event once, however often Stripe sends it", async () => {
  const event = await paid();
  await (await post(event)).text();
  const again = await post(await stripe.sign(event.body));
  expect([again.status, await again.json()]).toEqual([200, { outcome: "repeated" }]);
  expect(await balance()).toBe(BODY.amount_micros);
});

it("believes nothing that Stripe has not signed, or not just now", async () => {
  const event = await paid();
  const before = await everything();
  const old = await stripe.sign(event.body, Date.now() - 301_000);
  const wrong = [
    { ...event, body: `${event.body} ` },
    { ...event, body: event.body.replace("2000", "9000") },
    { ...event, signature: "" },
    { ...event, signature: event.signature.replace(/v1=.*/, `v1=${"0".repeat(64)}`) },
    { ...event, signature: event.signature.replace("v1=", "v0=") },
    { ...event, signature: event.signature.replace(/t=\d+/, "t=1") },
    old,
  ];
  for (const request of wrong) await expectProblem(await post(request), "unauthenticated");
  expect(await everything()).toEqual(before);
  expect((await post(await stripe.sign(event.body, Date.now() - 290_000))).status).toBe(200);
});

it.each([
  ["too little", { amount_micros: 4_990_000 }, "/amount_micros"],
  ["too much", { amount_micros: 10_000_010_000 }, "/amount_micros"],
  ["a part of a cent", { amount_micros: 5_000_001 }, "/amount_micros"],
  ["a way back over http", { success_url: "http://www.example.com/" }, "/success_url"],
  ["a script for a way back", { cancel_url: "javascript:alert(1)" }, "/cancel_url"],
  ["a way back with a password", { cancel_url: "https://a:b@example.com/" }, "/cancel_url"],
])("refuses %s", async (_, changes, pointer) => {
  const answer = await call("POST", "/v1/top-ups", { token, body: { ...BODY, ...changes } });
  await expectProblem(answer, "invalid_request", pointer);
  expect(stripe.sessions).toEqual([]);
});

it("needs the scope billing:write to buy, and shows nobody else's", async () => {
  const { id } = await topUp();
  const { key: reader } = await newKey(tenant, { scopes: ["billing:read"] });
  await expectProblem(await call("POST", "/v1/top-ups", { token: reader, body: BODY }), "scope_missing");
  expect((await call("GET", `/v1/top-ups/${id}`, { token: reader })).status).toBe(200);
  const { key: stranger } = await newTenant(0);
  await expectProblem(await call("GET", `/v1/top-ups/${id}`, { token: stranger }), "not_found");
});

it("says which settings are missing where a deployment takes no payments", async () => {
  const settings = { ...env, STRIPE_SECRET_KEY: undefined, STRIPE_WEBHOOK_SECRET: undefined };
  const headers = { "content-type": "application/json", authorization: `Bearer ${token}` };
  const init = { method: "POST", headers, body: JSON.stringify(BODY) };
  for (const path of ["/v1/top-ups", STRIPE_WEBHOOK_PATH]) {
    const answer = await createApp().request(path, init, settings);
    expect(await expectProblem(answer, "not_found")).toContain("STRIPE_SECRET_KEY");
  }
});
