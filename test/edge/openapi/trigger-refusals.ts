// How deliveries to triggers come to be refused: by what is posted, by whom the trigger spends for, and by an order in it
// that was good when it was made.

import { SCOPES } from "../../../shared/contract/keys.ts";
import type { IssuedTrigger } from "../../../shared/contract/triggers.ts";
import { env } from "../support/env.ts";
import { call } from "../support/http.ts";
import { newKey } from "../support/keys.ts";
import { admin, newTenant } from "../support/tenant.ts";
import { newTrigger, post, postOk } from "../support/triggers.ts";
import type { Account } from "./deployment.ts";
import { POSTED } from "./examples.ts";
import type { Case, Recipe } from "./refusals.ts";

const KEYED = { "idempotency-key": "once" } as const;

type Send = (account: Account, trigger: IssuedTrigger, posted: unknown) => Promise<Response>;
const toUrl: Send = async (_, { url }, posted) => await post(url, posted);
const toPreview: Send = async ({ bearer: token }, { id }, posted) =>
  await call("POST", `/v1/triggers/${id}/preview`, { token, body: { body: posted } });

const sending =
  (send: Send, posted: unknown): Recipe =>
  async ({ account }) =>
    await send(account, await newTrigger(account.bearer, { prompt: "{{ $.name }} {{ $.name }}" }), posted);

/** To a trigger that this key made. */
async function postBy(token: string): Promise<Response> {
  return await post((await newTrigger(token)).url, POSTED);
}

/** The order of a trigger, as it would stand if what it names had been there when it was made. */
const oncePossible =
  (send: Send, member: string, value: string | number): Recipe =>
  async ({ account }) => {
    const trigger = await newTrigger(account.bearer);
    const change = `update triggers set clip = json_set(clip, '$.${member}', ?) where id = ?`;
    await env.DB.prepare(change).bind(value, trigger.id).run();
    return await send(account, trigger, POSTED);
  };

const madeOf = (send: Send): Readonly<Record<string, Recipe>> => ({
  prompt_empty: sending(send, { name: " " }),
  prompt_too_long: sending(send, { name: "x".repeat(2_001) }),
  model_unknown: oncePossible(send, "model", "none"),
  size_not_allowed: oncePossible(send, "size", "100x100"),
  frames_invalid: oncePossible(send, "frames", 34),
});

export const PREVIEWS = madeOf(toPreview);

/** To a trigger of this account to which the same delivery has come before. */
async function postAgain({ account }: Case, between: (clip: string) => Promise<void>, body: object): Promise<Response> {
  const { url } = await newTrigger(account.bearer);
  await between(await postOk(url, POSTED, KEYED));
  return await post(url, body, KEYED);
}

export const DELIVERIES: Readonly<Record<string, Recipe>> = {
  ...madeOf(toUrl),
  invalid_request: sending(toUrl, "{"),
  body_too_large: sending(toUrl, "x".repeat(1_100_000)),
  not_found: async () => await post("/t/nonsense", POSTED),
  insufficient_balance: async () => await postBy((await newTenant(0)).key),
  cap_exceeded: async ({ account }) =>
    await postBy((await newKey(account.tenant, { scopes: SCOPES, daily_cap_micros: 0 })).key),
  too_many_in_flight: async () => {
    const { accountId, key } = await newTenant();
    await (await admin("PATCH", `/accounts/${accountId}`, { max_in_flight: 1 })).text();
    await (await postBy(key)).text();
    return await postBy(key);
  },
  idempotency_mismatch: async (given) => await postAgain(given, async () => undefined, { name: "2.0" }),
  clip_deleted: async (given) => {
    const { bearer: token } = given.account;
    const erase = async (id: string) => {
      await (await call("POST", `/v1/clips/${id}/cancel`, { token })).text();
      await (await call("DELETE", `/v1/clips/${id}`, { token })).text();
    };
    return await postAgain(given, erase, POSTED);
  },
};

/** To a trigger whose `when` the delivery does not meet. */
export async function skipped({ account }: Case): Promise<Response> {
  return await post((await newTrigger(account.bearer, { when: { "$.name": "2.0" } })).url, POSTED);
}
