import { beforeEach, describe, expect, it } from "vitest";
import { TRIGGER_LIMITS, triggerPreviewSchema, triggerSchema } from "../../../shared/contract/triggers.ts";
import { env } from "../support/env.ts";
import { call, expectProblem } from "../support/http.ts";
import { everything } from "../support/invariants.ts";
import { newKey } from "../support/keys.ts";
import { countOf } from "../support/search.ts";
import { newTenant, type Tenant } from "../support/tenant.ts";
import { newTrigger, post, postOk, TEMPLATE } from "../support/triggers.ts";
import { CLIP_PRICE, DEMO, freshDeployment } from "../support/world.ts";

let tenant: Tenant;
let token: string;
beforeEach(async () => {
  await freshDeployment();
  tenant = await newTenant();
  token = tenant.key;
});

const create = (body: unknown) => call("POST", "/v1/triggers", { token, body });
const patch = (id: string, body: unknown, by = token) => call("PATCH", `/v1/triggers/${id}`, { token: by, body });
const preview = (id: string, body: unknown) => call("POST", `/v1/triggers/${id}/preview`, { token, body: { body } });

describe("POST /v1/triggers", () => {
  it("answers 201 with a URL that is shown this once and kept only as a hash", async () => {
    const trigger = await newTrigger(token);
    expect(trigger.url).toMatch(/^https:\/\/clips\.test\/t\/tc_hook_[0-7][0-9a-z]{25}_[0-9A-Za-z]{43}_[0-9a-f]{8}$/);
    expect(trigger).toMatchObject({
      key_id: tenant.keyId,
      enabled: true,
      clips: 0,
      refusals: 0,
      last_delivery_at: null,
    });
    const [, , , secret = ""] = trigger.url.split("_");
    expect(await countOf(secret)).toEqual({ inDatabase: 0, inBucket: 0 });
    const { url: _, ...shown } = trigger;
    const got = await call("GET", `/v1/triggers/${trigger.id}`, { token });
    expect(triggerSchema.strict().parse(await got.json())).toEqual(shown);
    expect(await (await call("GET", "/v1/triggers", { token })).json()).toEqual({ data: [shown] });
  });

  it("keeps a sender's secret sealed and never shows it", async () => {
    const secret = "a-secret-of-the-sender";
    const { id } = await newTrigger(token, { signature: { scheme: "github", secret } });
    expect((await countOf(secret)).inDatabase).toBe(0);
    const shown = await (await call("GET", `/v1/triggers/${id}`, { token })).text();
    expect(shown).toContain('"signature":{"scheme":"github"}');
  });

  it.each([
    [{ prompt: "{{ $..a }}" }, "invalid_request", "/prompt"],
    [{ prompt: "" }, "invalid_request", "/prompt"],
    [{ prompt: "x".repeat(TRIGGER_LIMITS.templateCharacters + 1) }, "invalid_request", "/prompt"],
    [{ metadata: { ref: "{{ a }}" } }, "invalid_request", "/metadata/ref"],
    [{ metadata: { "no blanks": "a" } }, "invalid_request", "/metadata/no blanks"],
    [{ when: { "$[*]": "a" } }, "invalid_request", "/when"],
    [{ when: { "$.a": null } }, "invalid_request", "/when/$.a"],
    [{ clip: { model: "none" } }, "model_unknown", "/clip/model"],
    [{ clip: { model: DEMO, size: "640x480" } }, "size_not_allowed", "/clip/size"],
    [{ clip: { model: DEMO, frames: 6 } }, "frames_invalid", "/clip/frames"],
    [{ clip: { model: DEMO, steps: 5 } }, "invalid_request", "/clip/steps"],
    [{ clip: { model: DEMO, n: 2 } }, "invalid_request", "/clip/n"],
    [{ clip: { model: DEMO, webhook_url: "https://10.0.0.1/" } }, "invalid_request", "/clip/webhook_url"],
    [{ daily_clips: 0 }, "invalid_request", "/daily_clips"],
    [{ daily_cap_micros: -1 }, "invalid_request", "/daily_cap_micros"],
    [{ signature: { scheme: "github" } }, "invalid_request", "/signature/secret"],
    [{ signature: { scheme: "github", secret: "short" } }, "invalid_request", "/signature/secret"],
    [{ signature: { scheme: "standard-webhooks", secret: "whsec_short" } }, "invalid_request", "/signature/secret"],
    [{ name: " " }, "invalid_request", "/name"],
  ] as const)("refuses %j by name and changes nothing", async (wrong, code, pointer) => {
    const before = await everything();
    await expectProblem(await create({ ...TEMPLATE, ...wrong }), code, pointer);
    expect(await everything()).toEqual(before);
  });

  it("refuses one trigger too many, with the remedy", async () => {
    const columns = (
      await env.DB.prepare("select name from pragma_table_info('triggers') where name <> 'id'").all<{
        name: string;
      }>()
    ).results.map(({ name }) => name);
    await newTrigger(token);
    await env.DB.prepare(
      `insert into triggers (id, ${columns.join(", ")})
        with recursive n(i) as (select 1 union all select i + 1 from n where i < ${TRIGGER_LIMITS.perAccount - 1})
        select 'trg_' || i, ${columns.join(", ")} from triggers, n`,
    ).run();
    expect(await expectProblem(await create(TEMPLATE), "invalid_request")).toContain(
      "at most 100 triggers; delete one",
    );
    const { count } = (await env.DB.prepare("select count(*) as count from triggers").first()) as { count: number };
    expect(count).toBe(TRIGGER_LIMITS.perAccount);
  });

  it("asks for clips:write, and to read for clips:read", async () => {
    const { key: reader } = await newKey(tenant, { scopes: ["clips:read"] });
    await expectProblem(await call("POST", "/v1/triggers", { token: reader, body: TEMPLATE }), "scope_missing");
    expect((await call("GET", "/v1/triggers", { token: reader })).status).toBe(200);
    await expectProblem(await call("GET", "/v1/triggers"), "unauthenticated");
  });
});

describe("another account", () => {
  it("finds neither the trigger nor its deliveries, and changes nothing", async () => {
    const { id } = await newTrigger(token);
    const { key: other } = await newTenant();
    const before = await everything();
    const calls = [
      call("GET", `/v1/triggers/${id}`, { token: other }),
      call("GET", `/v1/triggers/${id}/deliveries`, { token: other }),
      call("POST", `/v1/triggers/${id}/preview`, { token: other, body: { body: { name: "x" } } }),
      call("POST", `/v1/triggers/${id}/rotate`, { token: other, body: {} }),
      patch(id, { prompt: "theirs" }, other),
      call("DELETE", `/v1/triggers/${id}`, { token: other }),
    ];
    for (const answer of await Promise.all(calls)) await expectProblem(answer, "not_found");
    expect(await everything()).toEqual(before);
    expect(await (await call("GET", "/v1/triggers", { token: other })).json()).toEqual({ data: [] });
  });
});

describe("PATCH /v1/triggers/{id}", () => {
  it("changes what is given from the next delivery on, and leaves the rest", async () => {
    const trigger = await newTrigger(token, { metadata: { who: "{{ $.name }}" } });
    const answer = await patch(trigger.id, { prompt: "rain over {{ $.city }}", daily_clips: 3 });
    const { url: _, ...shown } = trigger;
    expect(await answer.json()).toEqual({ ...shown, prompt: "rain over {{ $.city }}", daily_clips: 3 });
    const clip = await postOk(trigger.url, { city: "Bergen", name: "n" });
    const got = await (await call("GET", `/v1/clips/${clip}`, { token })).json();
    expect(got).toMatchObject({ prompt: "rain over Bergen", metadata: { who: "n" } });
  });

  it("disables and enables", async () => {
    const { id, url } = await newTrigger(token);
    expect(await (await patch(id, { enabled: false })).json()).toMatchObject({ enabled: false });
    await expectProblem(await post(url, { name: "x" }), "not_found");
    expect(await (await patch(id, { enabled: true })).json()).toMatchObject({ enabled: true });
    await postOk(url, { name: "x" });
  });

  it("refuses a template that is none, and keeps the one that there was", async () => {
    const { id, url } = await newTrigger(token);
    await expectProblem(await patch(id, { prompt: "{{ $.a" }), "invalid_request", "/prompt");
    await expectProblem(await patch(id, { clip: { model: "none" } }), "model_unknown", "/clip/model");
    await postOk(url, { name: "x" });
  });

  it("is refused to a key that has less than the trigger's own, as is rotating and deleting", async () => {
    const { id } = await newTrigger(token);
    const { key: weaker } = await newKey(tenant, { scopes: ["clips:read", "clips:write"], daily_cap_micros: 1 });
    const before = await everything();
    await expectProblem(await patch(id, { prompt: "theirs" }, weaker), "exceeds_own_key");
    await expectProblem(
      await call("POST", `/v1/triggers/${id}/rotate`, { token: weaker, body: {} }),
      "exceeds_own_key",
    );
    await expectProblem(await call("DELETE", `/v1/triggers/${id}`, { token: weaker }), "exceeds_own_key");
    expect(await everything()).toEqual(before);
  });
});

describe("POST /v1/triggers/{id}/rotate", () => {
  it("gives a new URL while the old one is good for the overlap", async () => {
    const { id, url } = await newTrigger(token);
    const rotated = await call("POST", `/v1/triggers/${id}/rotate`, { token, body: {} });
    const { url: newUrl } = (await rotated.json()) as { url: string };
    expect(newUrl).not.toBe(url);
    await postOk(url, { name: "old" });
    await postOk(newUrl, { name: "new" });
    await env.DB.prepare("update trigger_urls set expires_at_ms = 1 where expires_at_ms is not null").run();
    await expectProblem(await post(url, { name: "old" }), "not_found");
    await postOk(newUrl, { name: "new" });
  });

  it("ends the old URL at once without overlap", async () => {
    const { id, url } = await newTrigger(token);
    await call("POST", `/v1/triggers/${id}/rotate`, { token, body: { overlap_s: 0 } });
    await expectProblem(await post(url, { name: "old" }), "not_found");
  });

  it("keeps at most five URLs good, the newest", async () => {
    const { id, url } = await newTrigger(token);
    const urls = [url];
    for (let i = 0; i < TRIGGER_LIMITS.urls; i++) {
      const answer = await call("POST", `/v1/triggers/${id}/rotate`, { token, body: {} });
      urls.push(((await answer.json()) as { url: string }).url);
    }
    const answers = await Promise.all(urls.map((one) => post(one, { name: "x" })));
    expect(answers.map(({ status }) => status)).toEqual([404, 202, 202, 202, 202, 202]);
  });
});

describe("DELETE /v1/triggers/{id}", () => {
  it("leaves nothing of the trigger but the clips that it ordered", async () => {
    const signature = { scheme: "bearer", secret: "a-secret-of-the-sender" };
    const { id, url } = await newTrigger(token, { signature });
    const clip = await postOk(url, { name: "x" }, { authorization: `Bearer ${signature.secret}` });
    expect((await call("DELETE", `/v1/triggers/${id}`, { token })).status).toBe(204);
    await expectProblem(await call("GET", `/v1/triggers/${id}`, { token }), "not_found");
    await expectProblem(await post(url, { name: "x" }), "not_found");
    for (const table of ["triggers", "trigger_urls", "trigger_days", "trigger_deliveries", "webhook_secrets"]) {
      expect([table, (await env.DB.prepare(`select * from ${table}`).all()).results]).toEqual([table, []]);
    }
    const cancelled = await call("POST", `/v1/clips/${clip}/cancel`, { token });
    expect(cancelled.status).toBe(200);
  });
});

describe("POST /v1/triggers/{id}/preview", () => {
  it("answers the order that a body would make, and changes nothing", async () => {
    const { id } = await newTrigger(token, { metadata: { tag: '{{ $.tag | "none" }}' } });
    const before = await everything();
    const answer = triggerPreviewSchema.strict().parse(await (await preview(id, { name: "a rocket" })).json());
    const clip = {
      prompt: "confetti over a rocket",
      metadata: { tag: "none" },
      model: DEMO,
      size: "256x192",
      frames: 33,
    };
    expect(answer.clip).toEqual({ ...clip, price_micros: CLIP_PRICE });
    expect(await everything()).toEqual(before);
  });

  it("answers null for what `when` leaves out, though the template finds nothing in it", async () => {
    const { id } = await newTrigger(token, { when: { "$.action": "published" } });
    expect(await (await preview(id, { zen: "ping" })).json()).toEqual({ object: "trigger_preview", clip: null });
    expect(await (await preview(id, { action: "published", name: "x" })).json()).toMatchObject({
      clip: { prompt: "confetti over x" },
    });
  });

  it("says what is missing, by its path", async () => {
    const { id } = await newTrigger(token);
    expect(await expectProblem(await preview(id, {}), "invalid_request")).toContain("nothing at $.name");
    expect(await expectProblem(await preview(id, "a text"), "invalid_request")).toContain("nothing at $.name");
    await expectProblem(
      await call("POST", `/v1/triggers/${id}/preview`, { token, body: {} }),
      "invalid_request",
      "/body",
    );
  });

  it("refuses a prompt that turns out empty or too long as an order does", async () => {
    const { id } = await newTrigger(token, { prompt: "{{ $.name }}{{ $.name }}" });
    await expectProblem(await preview(id, { name: " " }), "prompt_empty", "/prompt");
    await expectProblem(await preview(id, { name: "x".repeat(2_001) }), "prompt_too_long", "/prompt");
  });
});
