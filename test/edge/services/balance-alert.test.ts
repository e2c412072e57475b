// The message that a balance runs low: once on each way down, whoever moves the balance, and told by the sweep.
import { afterEach, beforeEach, expect, it } from "vitest";
import { getAlert, setAlert } from "../../../edge/services/money/alert.ts";
import { grantCredit } from "../../../edge/services/money/grant.ts";
import { sweep } from "../../../edge/services/sweep.ts";
import { createEndpoint } from "../../../edge/services/webhooks/endpoints.ts";
import type { AccountId } from "../../../shared/ids.ts";
import { micros } from "../../../shared/pricing.ts";
import { env } from "../support/env.ts";
import { expectInvariants } from "../support/invariants.ts";
import { Receivers } from "../support/receivers.ts";
import { CLIP_PRICE, freshDeployment, World } from "../support/world.ts";

const HOST = "hooks.example.com";
let world: World;
let account: AccountId;

beforeEach(async () => {
  await freshDeployment();
  const receivers = new Receivers();
  receivers.host(HOST);
  world = new World({ resolver: receivers, outbound: receivers });
  account = await world.account(3 * CLIP_PRICE);
  await createEndpoint(world.ports, account, { url: `https://${HOST}/`, events: ["balance.low"] });
});
afterEach(expectInvariants);

/** What is left, by each message, after another sweep. */
async function told(): Promise<number[]> {
  await sweep(world.ports);
  const { results } = await env.DB.prepare(
    `select m.payload from webhook_messages m join webhook_deliveries d on d.message_id = m.id order by m.id`,
  ).all<{ payload: string }>();
  return results.map(
    ({ payload }) => (JSON.parse(payload) as { data: { available_micros: number } }).data.available_micros,
  );
}

it("is told once when an order takes the balance below the threshold, and again on the next way down", async () => {
  await setAlert(world.ports, account, { threshold_micros: 2 * CLIP_PRICE });
  await world.order(account);
  expect(await told()).toEqual([]);
  await world.order(account);
  expect(await told()).toEqual([CLIP_PRICE]);
  await world.order(account);
  expect(await told()).toEqual([CLIP_PRICE]);
  const amountMicros = micros(2 * CLIP_PRICE);
  await grantCredit(world.ports, { accountId: account, amountMicros, reason: "test", idempotencyKey: "second" });
  expect(await told()).toEqual([CLIP_PRICE]);
  world.advance(1);
  await world.order(account);
  expect(await told()).toEqual([CLIP_PRICE, CLIP_PRICE]);
});

it("is told to the others when that of one account cannot be written", async () => {
  const other = await world.account(CLIP_PRICE);
  await createEndpoint(world.ports, other, { url: `https://${HOST}/`, events: ["balance.low"] });
  for (const id of [account, other]) await setAlert(world.ports, id, { threshold_micros: 10 * CLIP_PRICE });
  await env.DB.prepare(
    `create trigger broken before insert on webhook_messages when new.account_id = '${account}'
     begin select raise(abort, 'this one is broken'); end`,
  ).run();
  await expect(sweep(world.ports)).rejects.toThrow();
  await env.DB.prepare("drop trigger broken").run();
  const { results } = await env.DB.prepare("select account_id as id from webhook_messages").all();
  expect(results).toEqual([{ id: other }]);
  expect(await told()).toHaveLength(2);
});

it("is told at once of a balance that is below a new threshold, and never without one", async () => {
  await world.order(account);
  expect(await told()).toEqual([]);
  await setAlert(world.ports, account, { threshold_micros: 10 * CLIP_PRICE });
  expect(await getAlert(world.ports, account)).toEqual({ threshold_micros: 10 * CLIP_PRICE });
  expect(await told()).toEqual([2 * CLIP_PRICE]);
  await setAlert(world.ports, account, { threshold_micros: null });
  await world.order(account);
  expect(await told()).toEqual([2 * CLIP_PRICE]);
  expect(await getAlert(world.ports, account)).toEqual({ threshold_micros: null });
});
