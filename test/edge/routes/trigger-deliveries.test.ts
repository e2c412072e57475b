import { beforeEach, describe, expect, it } from "vitest";
import { verifyKey } from "../../../edge/services/keys/verify.ts";
import { completeAttempt } from "../../../edge/services/leases/complete.ts";
import { DEFAULT_TIMES } from "../../../edge/services/ports.ts";
import { sweep } from "../../../edge/services/sweep.ts";
import { type OpenTrigger, openTrigger } from "../../../edge/services/triggers/address.ts";
import { deliver } from "../../../edge/services/triggers/deliver.ts";
import { listTriggerDeliveries } from "../../../edge/services/triggers/log.ts";
import { createTrigger } from "../../../edge/services/triggers/manage.ts";
import { createTriggerSchema, TRIGGER_LIMITS } from "../../../shared/contract/triggers.ts";
import type { AccountId } from "../../../shared/ids.ts";
import { env } from "../support/env.ts";
import { flakyDatabase } from "../support/flaky.ts";
import { call, expectProblem } from "../support/http.ts";
import { everything, expectInvariants } from "../support/invariants.ts";
import { newKey } from "../support/keys.ts";
import { countOf } from "../support/search.ts";
import { admin, newTenant, type Tenant } from "../support/tenant.ts";
import { deliveriesOf, newTrigger, post, postOk, TEMPLATE } from "../support/triggers.ts";
import { CLIP_PRICE, completion, DEMO, freshDeployment, World } from "../support/world.ts";

const BODY = { name: "a rocket" };
const KEY = { "idempotency-key": "delivery-1" };

let tenant: Tenant;
let token: string;
beforeEach(async () => {
  await freshDeployment();
  tenant = await newTenant();
  token = tenant.key;
});

const clipOf = async (id: string) => (await (await call("GET", `/v1/clips/${id}`, { token })).json()) as object;
const balance = async () => (await (await call("GET", "/v1/balance", { token })).json()) as object;
const ordered = async () => ((await env.DB.prepare("select count(*) as n from clips").first()) as { n: number }).n;

/** A text in which nothing tells one request from another. */
async function anonymous(answer: Response): Promise<string> {
  return `${answer.status} ${(await answer.text()).replaceAll(/req_\w+/g, "req")}`;
}

describe("POST /t/{token}", () => {
  it("orders the clip of the template with the trigger's key, and answers its id and nothing else", async () => {
    const wanted = { clip: { model: DEMO, frames: 17, seed: 7 }, metadata: { who: "{{ $.name }}" } };
    const { id, url } = await newTrigger(token, wanted);
    const answer = await post(url, BODY);
    expect(answer.status).toBe(202);
    expect(answer.headers.get("cache-control")).toBe("no-store");
    const text = await answer.text();
    expect(text).toMatch(/^\{"clip_id":"clip_[0-9a-z]{26}"\}$/);
    const { clip_id } = JSON.parse(text) as { clip_id: string };
    const clip = {
      prompt: "confetti over a rocket",
      frames: 17,
      seed: 7,
      state: "queued",
      metadata: { who: "a rocket" },
    };
    expect(await clipOf(clip_id)).toMatchObject(clip);
    const row = await env.DB.prepare("select key_id, trigger_id from clips").first();
    expect(row).toEqual({ key_id: tenant.keyId, trigger_id: id });
    expect(await deliveriesOf(token, id)).toMatchObject([
      { outcome: "ordered", clip_id, code: null, delivery_key: null },
    ]);
    const shown = (await (await call("GET", `/v1/triggers/${id}`, { token })).json()) as { last_delivery_at: string };
    expect(shown).toMatchObject({ clips: 1, refusals: 0 });
    expect(Date.parse(shown.last_delivery_at)).toBeGreaterThan(Date.now() - 60_000);
    await expectInvariants();
  });

  it.each([
    ["the Idempotency-Key", { "idempotency-key": "a" }],
    ["GitHub's delivery id", { "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958" }],
    ["the webhook-id", { "webhook-id": "msg_1" }],
  ])("orders once by %s, and answers the same again", async (_, headers) => {
    const { id, url } = await newTrigger(token);
    const first = await post(url, BODY, headers);
    const again = await post(url, BODY, headers);
    expect([again.status, again.headers.get("idempotent-replayed")]).toEqual([202, "true"]);
    expect(first.headers.get("idempotent-replayed")).toBeNull();
    expect(await again.text()).toBe(await first.text());
    expect(await ordered()).toBe(1);
    const [last] = Object.values(headers);
    expect(await deliveriesOf(token, id)).toMatchObject([
      { outcome: "repeated", delivery_key: last },
      { outcome: "ordered", delivery_key: last },
    ]);
    await expectInvariants();
  });

  it("orders once of many at the same time with one key, and each is told of the same clip", async () => {
    const { url } = await newTrigger(token);
    const ids = await Promise.all(Array.from({ length: 8 }, () => postOk(url, BODY, KEY)));
    expect(new Set(ids).size).toBe(1);
    expect(await ordered()).toBe(1);
    await expectInvariants();
  });

  it("answers the first clip also when the template has changed since, or when a cap is reached", async () => {
    const { id, url } = await newTrigger(token, { daily_clips: 1 });
    const clip = await postOk(url, BODY, KEY);
    await call("PATCH", `/v1/triggers/${id}`, { token, body: { prompt: "{{ $.other }}" } });
    expect(await postOk(url, BODY, KEY)).toBe(clip);
  });

  it("refuses a key that came with another body, and orders each delivery without one", async () => {
    const { url } = await newTrigger(token);
    await postOk(url, BODY, KEY);
    await expectProblem(await post(url, { name: "another" }, KEY), "idempotency_mismatch");
    expect(await postOk(url, BODY)).not.toBe(await postOk(url, BODY));
    expect(await ordered()).toBe(3);
  });

  it("keeps the keys of triggers apart from each other and from those of orders", async () => {
    const one = await newTrigger(token);
    const other = await newTrigger(token);
    const clips = [await postOk(one.url, BODY, KEY), await postOk(other.url, BODY, KEY)];
    const order = await call("POST", "/v1/clips", { token, body: { model: DEMO, prompt: "x" }, headers: KEY });
    expect(order.status).toBe(202);
    expect(new Set(clips).size).toBe(2);
  });

  it("makes no clip of what `when` leaves out, by value and type", async () => {
    const { id, url } = await newTrigger(token, { when: { "$.action": "published", "$.draft": false } });
    for (const body of [
      { action: "created", draft: false },
      { action: "published", draft: "false" },
      { zen: "ping" },
    ]) {
      const answer = await post(url, body);
      expect([answer.status, await answer.json()]).toEqual([200, { clip_id: null }]);
    }
    await postOk(url, { action: "published", draft: false, name: "x" });
    const outcomes = (await deliveriesOf(token, id)).map(({ outcome }) => outcome);
    expect(outcomes).toEqual(["ordered", "skipped", "skipped", "skipped"]);
    expect(await ordered()).toBe(1);
  });
});

describe("a delivery that is refused", () => {
  it.each([
    ["a body without what the template needs", {}, {}, "invalid_request", "nothing at $.name"],
    ["an object where there should be a text", { name: {} }, {}, "invalid_request", "an object"],
    ["a body that is not JSON", "{", {}, "invalid_request", "not JSON"],
    ["bytes that are no text", new Uint8Array([0xff]), {}, "invalid_request", "UTF-8"],
    ["another type", "name=x", { "content-type": "text/plain" }, "invalid_request", "Content-Type"],
    ["a key that is none", BODY, { "idempotency-key": "a b" }, "invalid_request", "idempotency-key"],
    ["half a surrogate pair", '{"name": "\\ud800"}', {}, "invalid_request", "surrogate"],
    ["a prompt that is too long", { name: "x".repeat(3_990) }, {}, "prompt_too_long", "4000"],
  ] as const)("for %s says why, and charges nothing", async (_, body, headers, code, why) => {
    const { id, url } = await newTrigger(token);
    const before = await balance();
    const answer = await post(url, body, headers);
    const pointer = code === "prompt_too_long" || why === "surrogate" ? "/prompt" : undefined;
    expect(await expectProblem(answer, code, pointer)).toContain(why);
    expect(await balance()).toEqual(before);
    expect(await ordered()).toBe(0);
    // What is refused before the URL is known is nobody's delivery.
    const logged = why === "UTF-8" ? [] : [{ outcome: "refused", code, clip_id: null, delivery_key: null }];
    expect(await deliveriesOf(token, id)).toMatchObject(logged);
  });

  it("takes a body of a mebibyte and refuses one that is larger", async () => {
    const { url } = await newTrigger(token);
    const padded = (bytes: number) => JSON.stringify(BODY).padEnd(bytes, " ");
    await postOk(url, padded(TRIGGER_LIMITS.bodyBytes));
    await expectProblem(await post(url, padded(TRIGGER_LIMITS.bodyBytes + 1)), "body_too_large");
  });

  it("is refused for want of money by code alone, and tells only the owner the figures", async () => {
    const poor = await newTenant(CLIP_PRICE - 1);
    const { id, url } = await newTrigger(poor.key);
    const told = await expectProblem(await post(url, BODY), "insufficient_balance");
    expect(told).not.toMatch(/[0-9]/);
    const [logged] = await deliveriesOf(poor.key, id);
    expect(logged?.detail).toContain(`${CLIP_PRICE} micro-dollars`);
    await expectInvariants();
  });

  it("is not found, byte for byte, for whoever has not the URL", async () => {
    const { id, url } = await newTrigger(token);
    const { id: disabledId, url: disabled } = await newTrigger(token);
    await call("PATCH", `/v1/triggers/${disabledId}`, { token, body: { enabled: false } });
    const signature = { scheme: "bearer", secret: "a-secret-of-the-sender" };
    const { id: signedId, url: signed } = await newTrigger(token, { signature });
    const nothing = await anonymous(await post("/t", BODY));
    const last = url.at(-1) === "0" ? "1" : "0";
    const answers = [
      post(`${url.slice(0, -1)}${last}`, BODY),
      post("/t/tc_hook_01j9z3k4m5n6p7q8r9s0t1v2w3", BODY),
      post(`/t/${token}`, BODY),
      post(url.replace("tc_hook_", "tc_live_"), BODY),
      post(disabled, BODY),
      post(signed, BODY),
      post(signed, "{", { authorization: "Bearer another-secret" }),
      call("GET", url.replace("https://clips.test", "")),
    ];
    for (const answer of await Promise.all(answers)) expect(await anonymous(answer)).toBe(nothing);
    expect(await ordered()).toBe(0);
    // The owner reads more.
    expect(await deliveriesOf(token, id)).toEqual([]);
    expect(await deliveriesOf(token, disabledId)).toMatchObject([
      { code: "not_found", detail: "The trigger is disabled." },
    ]);
    expect((await deliveriesOf(token, signedId)).map(({ code }) => code)).toEqual([
      "unauthenticated",
      "unauthenticated",
    ]);
  });

  it("is not found once the key is revoked or has lost its scope, and the log says which", async () => {
    const key = await newKey(tenant);
    const { id, url } = await newTrigger(key.key);
    await call("PATCH", `/v1/keys/${key.id}`, { token: key.key, body: { scopes: ["clips:read"] } });
    await expectProblem(await post(url, BODY), "not_found");
    await admin("DELETE", `/keys/${key.id}`);
    await expectProblem(await post(url, BODY), "not_found");
    expect((await deliveriesOf(token, id)).map(({ code }) => code)).toEqual(["key_revoked", "scope_missing"]);
  });

  it("comes from a trigger that is posted to too often, and other triggers and the key go on", async () => {
    const { url } = await newTrigger(token);
    const other = await newTrigger(token);
    const answers = await Promise.all(Array.from({ length: 61 }, () => post(url, {})));
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThanOrEqual(1);
    const [one] = refused;
    if (one === undefined) throw new Error("nothing was rate limited");
    expect(Number(one.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    expect(await one.json()).toMatchObject({ code: "rate_limited", limit: { name: "trigger_requests", value: 60 } });
    await postOk(other.url, BODY);
    expect((await call("GET", "/v1/balance", { token })).status).toBe(200);
  });
});

describe("the daily caps of a trigger", () => {
  it.each([
    ["clips", { daily_clips: 3 }, "3 of 3 clips"],
    ["money", { daily_cap_micros: 3 * CLIP_PRICE + 1 }, `of the ${3 * CLIP_PRICE + 1} micro-dollars`],
  ])("let exactly as many through at once as there is room for, by %s", async (_, cap, why) => {
    const { id, url } = await newTrigger(token, cap);
    const answers = await Promise.all(Array.from({ length: 8 }, () => post(url, BODY)));
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([
      202, 202, 202, 402, 402, 402, 402, 402,
    ]);
    const refused = answers.find(({ status }) => status === 402);
    if (refused === undefined) throw new Error("nothing was refused");
    expect(await expectProblem(refused, "cap_exceeded")).not.toMatch(/[0-9]/);
    const log = await deliveriesOf(token, id);
    expect(log.find(({ outcome }) => outcome === "refused")?.detail?.toLowerCase()).toContain(why);
    expect(await ordered()).toBe(3);
    await expectInvariants();
  });

  it("have room again for a clip that was free after all, and anew on the next day", async () => {
    const { url } = await newTrigger(token, { daily_clips: 1 });
    const clip = await postOk(url, BODY);
    await expectProblem(await post(url, BODY), "cap_exceeded");
    await call("POST", `/v1/clips/${clip}/cancel`, { token });
    await postOk(url, BODY);
    await env.DB.prepare("update trigger_days set utc_day = utc_day - 1").run();
    await postOk(url, BODY);
  });

  it("are beside those of the key and the account, which hold as ever", async () => {
    const { key } = await newKey(tenant, { daily_cap_micros: CLIP_PRICE });
    const { url } = await newTrigger(key, { daily_clips: 9 });
    await postOk(url, BODY);
    await expectProblem(await post(url, BODY), "cap_exceeded");
    await expectInvariants();
  });
});

/** By the services, whose clock the test moves and whose database may fail. */
class TriggerWorld {
  readonly flaky = flakyDatabase();
  readonly world = new World({ db: this.flaky.db });
  accountId = "" as AccountId;
  opened!: OpenTrigger;

  async set(wanted: object = {}): Promise<this> {
    this.accountId = await this.world.account();
    const bearer = await verifyKey(this.world.ports, await this.world.key(this.accountId));
    const request = createTriggerSchema.parse({ ...TEMPLATE, ...wanted });
    const { url } = await createTrigger(this.world.ports, bearer, request);
    this.opened = await openTrigger(this.world.ports, url.split("/t/")[1] ?? "");
    return this;
  }

  async deliver(body: unknown, headers: Record<string, string> = {}) {
    const header = (name: string) => headers[name] ?? null;
    return await deliver(this.world.ports, this.opened, { header, body: JSON.stringify(body) });
  }

  async log() {
    return (await listTriggerDeliveries(this.world.ports, this.opened.trigger.id, { limit: 100 })).data;
  }
}

describe("faults", () => {
  it("whose order was committed though its answer was lost is ordered once", async () => {
    const at = await new TriggerWorld().set();
    at.flaky.lose("answer");
    await expect(at.deliver(BODY, KEY)).rejects.toThrow("Network connection lost");
    expect(await at.deliver(BODY, KEY)).toMatchObject({ outcome: "repeated" });
    expect(await ordered()).toBe(1);
    // In the order of the alphabet: what happens within one millisecond has no other.
    expect((await at.log()).map(({ outcome }) => outcome).toSorted()).toEqual(["ordered", "repeated"]);
    await expectInvariants();
  });

  it("of an order that was lost before it was committed leave nothing", async () => {
    const at = await new TriggerWorld().set();
    const before = await everything();
    at.flaky.lose("request");
    await expect(at.deliver(BODY, KEY)).rejects.toThrow("Network connection lost");
    expect(await everything()).toEqual(before);
    expect(await at.deliver(BODY, KEY)).toMatchObject({ outcome: "ordered" });
    await expectInvariants();
  });

  it.each(["update triggers set disabled_at_ms = 1", "delete from triggers"])(
    "order nothing when the trigger goes between its being read and the order: %s",
    async (statement) => {
      const at = await new TriggerWorld().set();
      if (statement.startsWith("delete")) await env.DB.prepare("delete from trigger_urls").run();
      await env.DB.prepare(statement).run();
      await expect(at.deliver(BODY)).rejects.toMatchObject({ code: "not_found" });
      expect(await ordered()).toBe(0);
      await expectInvariants();
    },
  );
});

describe("what is kept of deliveries", () => {
  it("goes with the clip that one ordered, when this is deleted, and a late repetition orders nothing", async () => {
    const at = await new TriggerWorld().set({ prompt: "about {{ $.name }}", metadata: { who: "{{ $.name }}" } });
    const secret = "a very private turquoise elephant";
    const { clip_id } = await at.deliver({ name: secret }, { "idempotency-key": "private-key-of-the-sender" });
    if (clip_id === null) throw new Error("no clip");
    await at.deliver({ name: secret }, { "idempotency-key": "private-key-of-the-sender" });
    const { claim, ref } = await at.world.start(await at.world.runner());
    await at.world.upload(claim);
    await completeAttempt(at.world.ports, ref, await completion());
    const key = await at.world.key(at.accountId);
    expect((await call("DELETE", `/v1/clips/${clip_id}`, { token: key })).status).toBe(204);
    expect(await countOf(secret)).toEqual({ inDatabase: 0, inBucket: 0 });
    expect(await at.log()).toEqual([]);
    await expect(
      at.deliver({ name: secret }, { "idempotency-key": "private-key-of-the-sender" }),
    ).rejects.toMatchObject({
      code: "clip_deleted",
    });
    expect(await ordered()).toBe(1);
    await expectInvariants();
  });

  it("never has the body, nor anything of it", async () => {
    const at = await new TriggerWorld().set();
    const secret = "a very private turquoise elephant";
    await expect(at.deliver({ title: secret })).rejects.toMatchObject({ code: "invalid_request" });
    await expect(at.deliver({ name: { title: secret } })).rejects.toMatchObject({ code: "invalid_request" });
    expect(await countOf(secret)).toEqual({ inDatabase: 0, inBucket: 0 });
  });

  it("is swept after 30 days, and the sweep says when to come back", async () => {
    const at = await new TriggerWorld().set();
    await expect(at.deliver({})).rejects.toMatchObject({ code: "invalid_request" });
    const { messagesKeptMs } = DEFAULT_TIMES;
    expect(at.world.bell.wakes).toContain(at.world.nowMs + messagesKeptMs);
    at.world.advance(messagesKeptMs);
    const next = await sweep(at.world.ports);
    expect(await at.log()).toHaveLength(1);
    if (next === null) throw new Error("the sweep forgets the delivery");
    at.world.advance(next - at.world.nowMs);
    await sweep(at.world.ports);
    expect(await at.log()).toEqual([]);
  });

  it("is the newest 500, by pages", async () => {
    const at = await new TriggerWorld().set({ when: { "$.wanted": true } });
    await at.deliver({});
    const { id } = at.opened.trigger;
    const more = TRIGGER_LIMITS.deliveriesKept + 4;
    await env.DB.prepare(
      `insert into trigger_deliveries (id, trigger_id, outcome, created_at_ms)
        with recursive n(i) as (select 1 union all select i + 1 from n where i < ${more})
        select 'dlv_0' || substr('00000' || i, -5), '${id}', 'skipped', 1 from n`,
    ).run();
    await at.deliver({});
    const rows = await env.DB.prepare("select count(*) as n from trigger_deliveries").first();
    expect(rows).toEqual({ n: TRIGGER_LIMITS.deliveriesKept });
    const page = await listTriggerDeliveries(at.world.ports, id, { limit: 2 });
    expect(page.data).toHaveLength(2);
    if (page.next === null) throw new Error("there are more pages");
    const second = await listTriggerDeliveries(at.world.ports, id, { limit: 2, after: page.next });
    expect(second.data).toHaveLength(2);
    expect(second.data[0]?.id).not.toBe(page.data[1]?.id);
  });
});
