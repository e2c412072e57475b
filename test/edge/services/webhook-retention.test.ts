// What is kept of webhooks, for how long, and what erasing a clip leaves of them.
import { beforeEach, expect, test } from "vitest";
import type { Lane } from "../../../db/schema.ts";
import { cancelClip } from "../../../edge/services/clips/cancel.ts";
import { deleteClip } from "../../../edge/services/clips/delete.ts";
import { DEFAULT_TIMES } from "../../../edge/services/ports.ts";
import { sweep } from "../../../edge/services/sweep.ts";
import { deliverDue } from "../../../edge/services/webhooks/deliver.ts";
import { listAttempts, listDeliveries, replayMessage } from "../../../edge/services/webhooks/deliveries.ts";
import { createEndpoint } from "../../../edge/services/webhooks/endpoints.ts";
import type { AccountId, ClipId, EndpointId, EventId } from "../../../shared/ids.ts";
import { env } from "../support/env.ts";
import { expectInvariants } from "../support/invariants.ts";
import { answering, Receivers } from "../support/receivers.ts";
import { freshDeployment, World } from "../support/world.ts";

const { messagesKeptMs } = DEFAULT_TIMES;
const HOUR_MS = 3_600_000;

let receivers: Receivers;
let world: World;
let account: AccountId;
let endpoint: EndpointId;

beforeEach(async () => {
  await freshDeployment();
  receivers = new Receivers();
  receivers.host("a.example");
  world = new World({ outbound: receivers, resolver: receivers });
  account = await world.account();
  endpoint = (await createEndpoint(world.ports, account, { url: "https://a.example/hook", events: null })).id;
});

const deliver = async () => await deliverDue(world.ports, endpoint as string as Lane);

async function cancelled(): Promise<ClipId> {
  const { id } = await world.order(account);
  await cancelClip(world.ports, account, id);
  return id;
}

async function deliveries() {
  return (await listDeliveries(world.ports, account, { limit: 100, state: undefined, after: undefined })).data;
}

async function eventOf(clip: ClipId): Promise<EventId> {
  const delivery = (await deliveries()).find(({ clip_id }) => clip_id === clip);
  if (delivery === undefined) throw new Error(`no delivery of clip ${clip}`);
  return delivery.event_id;
}

async function rows(): Promise<number[]> {
  const tables = ["webhook_messages", "webhook_deliveries", "webhook_attempts"];
  const counts = tables.map(async (table) => {
    return (await env.DB.prepare(`select count(*) as n from ${table}`).first<{ n: number }>())?.n ?? -1;
  });
  return await Promise.all(counts);
}

async function erase(clip: ClipId): Promise<void> {
  await deleteClip(world.ports, account, clip);
}

test("a message is kept for its time and then dropped, with its deliveries and attempts", async () => {
  await cancelled();
  await deliver();
  world.advance(messagesKeptMs - 1);
  expect(await sweep(world.ports)).not.toBeNull();
  expect(await rows()).toEqual([1, 1, 1]);
  world.advance(1);
  await sweep(world.ports);
  expect(await rows()).toEqual([0, 0, 0]);
  await expectInvariants();
});

test("a message that waits to be delivered is kept past its time, and looked at again", async () => {
  const clip = await cancelled();
  await deliver();
  world.advance(messagesKeptMs - 1);
  receivers.host("a.example", answering(500));
  await replayMessage(world.ports, account, await eventOf(clip));
  world.advance(HOUR_MS);
  expect(await sweep(world.ports)).toBeLessThanOrEqual(world.nowMs + 6 * HOUR_MS);
  expect(await rows()).toEqual([1, 1, 1]);
  receivers.host("a.example");
  await deliver();
  await sweep(world.ports);
  expect(await rows()).toEqual([0, 0, 0]);
  world.advance(48 * HOUR_MS); // until what was counted against the day of its order goes as well
  expect(await sweep(world.ports)).toBeNull();
});

test("only what is old enough goes", async () => {
  await cancelled();
  await deliver();
  world.advance(messagesKeptMs - HOUR_MS);
  const young = await cancelled();
  await deliver();
  world.advance(HOUR_MS);
  const next = await sweep(world.ports);
  expect((await deliveries()).map(({ clip_id }) => clip_id)).toEqual([young]);
  expect(next).toBeLessThanOrEqual(world.nowMs + messagesKeptMs);
});

test("an attempt whose message is gone by the time of its answer is recorded nowhere, and harms no other", async () => {
  const old = await cancelled();
  const event = await eventOf(old);
  const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
  const { promise: asked, resolve: ask } = Promise.withResolvers<void>();
  receivers.host("a.example", async () => {
    ask();
    await answered;
    return { status: 204, retryAfter: null, body: "" };
  });
  const slow = deliver();
  await asked;
  receivers.host("a.example");
  await deliver();
  world.advance(messagesKeptMs);
  await sweep(world.ports);
  expect(await rows()).toEqual([0, 0, 0]);
  answer();
  await expect(slow).resolves.toBeNull();
  expect(await rows()).toEqual([0, 0, 0]);
  await expect(listAttempts(world.ports, account, event)).rejects.toThrow("no such");
});

test("erasing a clip blanks what was said and answered of it, and of no other", async () => {
  receivers.host("a.example", () => ({ status: 200, retryAfter: null, body: "thank you" }));
  const [erased, kept] = [await cancelled(), await cancelled()];
  await deliver();
  await erase(erased);
  const { results } = await env.DB.prepare("select clip_id, payload from webhook_messages").all();
  expect(results.find(({ clip_id }) => clip_id === erased)).toMatchObject({ payload: "" });
  expect(results.find(({ clip_id }) => clip_id === kept)?.payload).toContain(kept);
  const answers = async (clip: ClipId) => (await listAttempts(world.ports, account, await eventOf(clip))).data;
  expect(await answers(erased)).toMatchObject([{ status: 200, answer: null }]);
  expect(await answers(kept)).toMatchObject([{ status: 200, answer: "thank you" }]);
});

test("what waits for an erased clip is not sent, nor brought back by a replay", async () => {
  const clip = await cancelled();
  await erase(clip);
  await deliver();
  expect(await deliveries()).toMatchObject([{ state: "exhausted", last_error: "the clip was deleted" }]);
  expect(await replayMessage(world.ports, account, await eventOf(clip))).toBe(0);
  await deliver();
  expect(receivers.received).toEqual([]);
});
