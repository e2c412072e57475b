// Two accounts with one of everything that has an id, so that requests can name what exists.
import { createExecutionContext } from "cloudflare:test";
import worker from "../../../edge/index.ts";
import { SCOPES } from "../../../shared/contract/keys.ts";
import type { Claim } from "../../../shared/contract/runner.ts";
import { env } from "../support/env.ts";
import { call } from "../support/http.ts";
import { newKey } from "../support/keys.ts";
import { pictureFile } from "../support/pictures.ts";
import { openStripe } from "../support/stripe.ts";
import { claimOne, newRunner, newTenant, type Tenant, type TestRunner } from "../support/tenant.ts";
import { newTrigger } from "../support/triggers.ts";
import { completion, DEMO, FILES, LOADING } from "../support/world.ts";

/** By prefix. */
export type Owned = Record<"clip" | "upl" | "key" | "whe" | "evt" | "lnk" | "trg" | "top", string[]>;

/** Where the Worker finds it. */
export const stripe = openStripe();

export interface Account {
  readonly tenant: Tenant;
  /** May do everything. */
  readonly bearer: string;
  readonly owned: Owned;
  /** Of the trigger. */
  readonly triggerUrl: string;
}

export const ORDER = { model: DEMO, prompt: "a red ball" } as const;
export const TOP_UP = {
  amount_micros: 5_000_000,
  success_url: "https://www.example.com/paid",
  cancel_url: "https://www.example.com/credit",
} as const;
/** Trusted, and at a port that is nobody's. */
const HOOK = { url: "http://127.0.0.1:9/hook" } as const;

/** The Worker with these bindings instead of its own. */
export async function send(request: Request, bindings: object = {}): Promise<Response> {
  return await worker.fetch(
    request as Request<unknown, IncomingRequestCfProperties>,
    { ...env, ...bindings } as typeof env,
    createExecutionContext(),
  );
}

export async function idFrom(answer: Response): Promise<string> {
  return ((await answer.json()) as { id: string }).id;
}

/** Ordered by this key, made by a runner, with its files in the bucket. */
export async function finishedClip(token: string): Promise<string> {
  const id = await idFrom(await call("POST", "/v1/clips", { token, body: ORDER }));
  let runner: TestRunner;
  let claim: Claim;
  do {
    runner = await newRunner(); // each takes the next clip of the queue, until it is this one's turn
    claim = await claimOne(runner);
  } while (claim.clip_id !== id);
  const attempt = `/runner/v1/attempts/${claim.lease_token}`;
  await (await call("POST", `${attempt}/heartbeat`, { token: runner.token, body: LOADING })).text();
  await env.BUCKET.put(`clips/${id}/1/clip.mp4`, FILES.mp4);
  await env.BUCKET.put(`clips/${id}/1/poster.jpg`, FILES.poster);
  await (await call("POST", `${attempt}/complete`, { token: runner.token, body: await completion() })).text();
  return id;
}

export async function newUpload(token: string): Promise<string> {
  const body = { content_type: "image/png", bytes: pictureFile("png").length };
  return await idFrom(await call("POST", "/v1/uploads", { token, body }));
}

export async function newAccount(): Promise<Account> {
  const tenant = await newTenant(100_000_000);
  const { key: bearer } = await newKey(tenant, { scopes: SCOPES });
  const endpoint = await idFrom(await call("POST", "/v1/webhook-endpoints", { token: bearer, body: HOOK }));
  const tested = await call("POST", `/v1/webhook-endpoints/${endpoint}/test`, { token: bearer });
  const { event_id } = (await tested.json()) as { event_id: string };
  const clips = [await finishedClip(bearer)];
  for (let i = 0; i < 3; i++) clips.push(await idFrom(await call("POST", "/v1/clips", { token: bearer, body: ORDER })));
  const upload = await newUpload(bearer);
  await env.BUCKET.put(`uploads/${upload}`, pictureFile("png"));
  const spare = [await newKey(tenant), await newKey(tenant)];
  const link = await idFrom(
    await call("POST", "/v1/integrations/links", { token: bearer, body: { platform: "discord" } }),
  );
  const topUp = await idFrom(await call("POST", "/v1/top-ups", { token: bearer, body: TOP_UP }));
  const trigger = await newTrigger(bearer, { prompt: 'confetti over {{ $.name | "a field" }}' });
  const owned = {
    ...{ clip: clips, upl: [upload], key: spare.map(({ id }) => id) },
    ...{ whe: [endpoint], evt: [event_id], lnk: [link], trg: [trigger.id], top: [topUp] },
  };
  return { tenant, bearer, owned, triggerUrl: trigger.url };
}
