import { beforeEach, describe, expect, it } from "vitest";
import {
  type ApiKey,
  apiKeyPageSchema,
  apiKeySchema,
  type IssuedApiKey,
  issuedApiKeySchema,
  KEY_LIMITS,
  SCOPES,
} from "../../../shared/contract/keys.ts";
import { env } from "../support/env.ts";
import { call, expectProblem } from "../support/http.ts";
import { newKey, type TestKey } from "../support/keys.ts";
import { admin, newTenant, type Tenant } from "../support/tenant.ts";
import { freshDeployment } from "../support/world.ts";

let tenant: Tenant;
let manager: TestKey;
beforeEach(async () => {
  await freshDeployment();
  tenant = await newTenant();
  manager = await newKey(tenant);
});

const ABSENT = "key_01j9z3k4m5n6p7q8r9s0t1v2w3";
const READ = { name: "reader", scopes: ["clips:read"] };

const send = (method: string, path: string, body?: unknown, token = manager.key) =>
  call(method, `/v1/keys${path}`, { token, ...(body !== undefined && { body }) });

async function made(body: object = READ, token = manager.key): Promise<IssuedApiKey> {
  const answer = await send("POST", "", body, token);
  expect(answer.status).toBe(201);
  return issuedApiKeySchema.strict().parse(await answer.json());
}

const shown = async (id: string): Promise<ApiKey> =>
  apiKeySchema.strict().parse(await (await send("GET", `/${id}`)).json());

const models = async (token: string) => (await call("GET", "/v1/models", { token })).status;

describe("POST /v1/keys", () => {
  it("answers 201 with a key that works, whose secret is shown this once and stored only as a hash", async () => {
    const answer = await send("POST", "", READ);
    expect(answer.headers.get("cache-control")).toBe("no-store");
    const { id, key, ...rest } = issuedApiKeySchema.parse(await answer.json());
    expect(rest).toMatchObject({ object: "api_key", state: "active", scopes: ["clips:read"], last_used_at: null });
    expect(await models(key)).toBe(200);
    expect(JSON.stringify(await (await send("GET", `/${id}`)).json())).not.toContain(key);
    const rows = await env.DB.prepare("select * from api_keys join api_key_secrets on key_id = id").all();
    expect(JSON.stringify(rows.results)).not.toContain(key.split("_")[3]);
  });

  it("gives what is left open as the calling key has it", async () => {
    const expires_at = "2099-01-01T00:00:00.000Z";
    const bounded = await newKey(tenant, { daily_cap_micros: 500, expires_at });
    expect(await made(READ, bounded.key)).toMatchObject({ daily_cap_micros: 500, expires_at });
  });

  it.each([
    [{ scopes: ["clips:read", "billing:read"] }, "/scopes"],
    [{ daily_cap_micros: 501 }, "/daily_cap_micros"],
    [{ daily_cap_micros: null }, "/daily_cap_micros"],
    [{ expires_at: "2099-01-01T00:00:00.001Z" }, "/expires_at"],
    [{ expires_at: null }, "/expires_at"],
  ])("refuses %j of a key that has less itself", async (more, pointer) => {
    const bounded = await newKey(tenant, {
      scopes: ["clips:read", "keys:write"],
      daily_cap_micros: 500,
      expires_at: "2099-01-01T00:00:00.000Z",
    });
    await expectProblem(await send("POST", "", { ...READ, ...more }, bounded.key), "exceeds_own_key", pointer);
  });

  it.each([
    [{ name: "" }, "/name"],
    [{ name: "x".repeat(101) }, "/name"],
    [{ scopes: [] }, "/scopes"],
    [{ scopes: ["clips:read", "clips:read"] }, "/scopes"],
    [{ scopes: ["root"] }, "/scopes/0"],
    [{ daily_cap_micros: -1 }, "/daily_cap_micros"],
    [{ expires_at: "tomorrow" }, "/expires_at"],
    [{ expires_at: "2020-01-01T00:00:00Z" }, "/expires_at"],
    [{ account_id: "acct" }, "/account_id"],
  ])("refuses %j as invalid_request", async (wrong, pointer) => {
    await expectProblem(await send("POST", "", { ...READ, ...wrong }), "invalid_request", pointer);
  });

  it("is too_many_keys beyond the maximum, also of many at once, and again possible once one is revoked", async () => {
    const fill = `insert into api_keys (id, account_id, name, shown_prefix, scopes, created_at_ms)
      with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < ?)
      select 'key_' || n, ?, 'x', 'x', '[]', 0 from numbers`;
    // The tenant's own key and the manager's are two already; one place is left.
    await env.DB.prepare(fill)
      .bind(KEY_LIMITS.active - 3, tenant.accountId)
      .run();
    const answers = await Promise.all(Array.from({ length: 5 }, async () => await send("POST", "", READ)));
    const statuses = answers.map(({ status }) => status).toSorted((a, b) => a - b);
    expect(statuses).toEqual([201, 409, 409, 409, 409]);
    const refused = answers.find(({ status }) => status === 409);
    if (refused === undefined) throw new Error("none was refused");
    await expectProblem(refused, "too_many_keys");
    expect((await send("DELETE", `/${tenant.keyId}`)).status).toBe(204);
    await made();
  });
});

describe("GET /v1/keys", () => {
  it("lists the account's keys, newest first, by pages, and nobody else's", async () => {
    await newTenant();
    const first = await made();
    const page = apiKeyPageSchema.parse(await (await send("GET", "?limit=1")).json());
    expect(page.data.map(({ id }) => id)).toEqual([first.id]);
    const rest = apiKeyPageSchema.parse(await (await send("GET", `?limit=100&after=${page.next}`)).json());
    expect(rest.data.map(({ id }) => id).toSorted()).toEqual([tenant.keyId, manager.id].toSorted());
    expect(rest.next).toBeNull();
    expect(rest.data.every((key) => !("key" in key))).toBe(true);
  });

  it.each(["limit=0", "limit=101", "after=key", "after=clip_01j9z3k4m5n6p7q8r9s0t1v2w3"])(
    "refuses %s",
    async (query) => {
      await expectProblem(await send("GET", `?${query}`), "invalid_request");
    },
  );
});

describe("PATCH /v1/keys/{id}", () => {
  it("changes what is given, from the next request on", async () => {
    const { id, key } = await made();
    const changed = await send("PATCH", `/${id}`, { name: "payer", scopes: ["billing:read"], daily_cap_micros: 7 });
    expect(await changed.json()).toMatchObject({ name: "payer", scopes: ["billing:read"], daily_cap_micros: 7 });
    await expectProblem(await call("GET", "/v1/models", { token: key }), "scope_missing");
    expect((await call("GET", "/v1/balance", { token: key })).status).toBe(200);
    const again = await send("PATCH", `/${id}`, { daily_cap_micros: null });
    expect(await again.json()).toMatchObject({ name: "payer", scopes: ["billing:read"], daily_cap_micros: null });
    expect(await (await send("PATCH", `/${id}`, {})).json()).toMatchObject({ name: "payer" });
  });

  it("refuses to give more than the calling key has, to itself too", async () => {
    const weak = await newKey(tenant, { scopes: ["clips:read", "keys:write"], daily_cap_micros: 10 });
    const mine = await send("PATCH", `/${weak.id}`, { daily_cap_micros: 11 }, weak.key);
    await expectProblem(mine, "exceeds_own_key", "/daily_cap_micros");
    const { id } = await made(READ, weak.key);
    const scopes = await send("PATCH", `/${id}`, { scopes: ["billing:read"] }, weak.key);
    await expectProblem(scopes, "exceeds_own_key", "/scopes");
  });

  it("is key_not_active for a revoked key", async () => {
    const { id } = await made();
    await send("DELETE", `/${id}`);
    await expectProblem(await send("PATCH", `/${id}`, { name: "x" }), "key_not_active");
  });

  it.each([
    [{ scopes: [] }, "/scopes"],
    [{ expires_at: null }, "/expires_at"],
    [{ name: 5 }, "/name"],
  ])("refuses %j", async (body, pointer) => {
    await expectProblem(await send("PATCH", `/${manager.id}`, body), "invalid_request", pointer);
  });
});

describe("POST /v1/keys/{id}/rotate", () => {
  const rotate = async (id: string, overlap_seconds?: number, token = manager.key) => {
    const body = overlap_seconds === undefined ? {} : { overlap_seconds };
    return issuedApiKeySchema.strict().parse(await (await send("POST", `/${id}/rotate`, body, token)).json());
  };
  const endOverlap = (id: string) =>
    env.DB.prepare("update api_key_secrets set expires_at_ms = 1 where key_id = ? and expires_at_ms is not null")
      .bind(id)
      .run();

  it("answers 200 with a new secret and lets the old one work until the overlap ends", async () => {
    const old = await made();
    const rotated = await rotate(old.id, 60);
    expect(rotated).toMatchObject({ id: old.id, prefix: old.prefix, scopes: old.scopes });
    expect(rotated.key).not.toBe(old.key);
    expect([await models(old.key), await models(rotated.key)]).toEqual([200, 200]);
    await endOverlap(old.id);
    await expectProblem(await call("GET", "/v1/models", { token: old.key }), "key_expired");
    expect(await models(rotated.key)).toBe(200);
  });

  it("ends the old secret at once with an overlap of 0", async () => {
    const old = await made();
    const { key } = await rotate(old.id, 0);
    await expectProblem(await call("GET", "/v1/models", { token: old.key }), "unauthenticated");
    expect(await models(key)).toBe(200);
  });

  it("can be done again by a key that never got its new secret, and shortens no overlap by a longer one", async () => {
    const first = await rotate(manager.id, 60);
    const second = await rotate(manager.id, 3_600);
    expect([await models(manager.key), await models(first.key), await models(second.key)]).toEqual([200, 200, 200]);
    const { results } = await env.DB.prepare(
      "select expires_at_ms - max(created_at_ms) over () as ms from api_key_secrets where key_id = ? order by ms",
    )
      .bind(manager.id)
      .all<{ ms: number | null }>();
    expect(results.map(({ ms }) => (ms === null ? null : ms <= 60_000))).toEqual([null, true, false]);
  });

  it("keeps a bounded number of secrets good: one more ends the oldest", async () => {
    const { id, key } = await made();
    const secrets = [key];
    for (let i = 0; i < KEY_LIMITS.secrets; i += 1) secrets.push((await rotate(id, 600)).key);
    const statuses = await Promise.all(secrets.map(models));
    expect(statuses).toEqual([401, ...Array.from({ length: KEY_LIMITS.secrets }, () => 200)]);
  });

  it("refuses to tell the next secret of a key that has more than the calling one", async () => {
    const weak = await newKey(tenant, { scopes: ["keys:write"] });
    for (const [method, path, body] of [
      ["POST", "/rotate", {}],
      ["PATCH", "", { name: "mine" }],
      ["DELETE", "", undefined],
    ] as const) {
      await expectProblem(await send(method, `/${manager.id}${path}`, body, weak.key), "exceeds_own_key");
    }
    expect(await models(manager.key)).toBe(200);
  });

  it("is key_not_active for a revoked key", async () => {
    const { id } = await made();
    await send("DELETE", `/${id}`);
    await expectProblem(await send("POST", `/${id}/rotate`, {}), "key_not_active");
  });

  it.each([-1, 604_801, 1.5])("refuses an overlap of %d seconds", async (overlap_seconds) => {
    const answer = await send("POST", `/${manager.id}/rotate`, { overlap_seconds });
    await expectProblem(answer, "invalid_request", "/overlap_seconds");
  });
});

describe("DELETE /v1/keys/{id}", () => {
  it("answers 204, also again, and the key is refused from the next request on", async () => {
    const { id, key } = await made();
    expect((await send("DELETE", `/${id}`)).status).toBe(204);
    await expectProblem(await call("GET", "/v1/models", { token: key }), "key_revoked");
    const before = await shown(id);
    expect((await send("DELETE", `/${id}`)).status).toBe(204);
    expect(await shown(id)).toEqual(before);
    expect(before.state).toBe("revoked");
  });

  it("lets a key revoke itself", async () => {
    expect((await send("DELETE", `/${manager.id}`)).status).toBe(204);
    await expectProblem(await send("GET", ""), "key_revoked");
  });
});

describe("the key routes", () => {
  it("answer the ids of other accounts byte for byte like absent ones", async () => {
    const { keyId: foreign } = await newTenant();
    for (const [method, path, body] of [
      ["GET", "", undefined],
      ["PATCH", "", { name: "mine" }],
      ["POST", "/rotate", {}],
      ["DELETE", "", undefined],
    ] as const) {
      const texts: string[] = [];
      for (const id of [foreign, ABSENT, "nonsense"]) {
        const answer = await send(method, `/${id}${path}`, body);
        expect(answer.status).toBe(404);
        texts.push((await answer.text()).replace(/req_\w+/, "req"));
      }
      expect(texts[0]).toBe(texts[1]);
    }
  });

  it("are closed to keys without keys:write", async () => {
    for (const [method, path, body] of [
      ["GET", "", undefined],
      ["POST", "", READ],
      ["GET", `/${tenant.keyId}`, undefined],
      ["PATCH", `/${tenant.keyId}`, { name: "x" }],
      ["POST", `/${tenant.keyId}/rotate`, {}],
      ["DELETE", `/${tenant.keyId}`, undefined],
    ] as const) {
      await expectProblem(await send(method, path, body, tenant.key), "scope_missing");
    }
  });

  it("show when a key was last used to the hour, without a write a request", async () => {
    const { id, key } = await made();
    await models(key);
    const first = (await shown(id)).last_used_at;
    expect(first).not.toBeNull();
    await models(key);
    expect((await shown(id)).last_used_at).toBe(first);
    await env.DB.prepare("update api_keys set last_used_at_ms = 5 where id = ?").bind(id).run();
    await models(key);
    expect((await shown(id)).last_used_at).not.toBe("1970-01-01T00:00:00.005Z");
  });
});

describe("the operator's key routes", () => {
  it("list, change, rotate and revoke the keys of any account without bounds", async () => {
    const page = apiKeyPageSchema.parse(await (await admin("GET", `/accounts/${tenant.accountId}/keys`)).json());
    expect(page.data.map(({ id }) => id).toSorted()).toEqual([tenant.keyId, manager.id].toSorted());
    const changed = await admin("PATCH", `/keys/${tenant.keyId}`, { scopes: SCOPES });
    expect(await changed.json()).toMatchObject({ scopes: SCOPES });
    const rotated = await admin("POST", `/keys/${tenant.keyId}/rotate`, { overlap_seconds: 0 });
    expect(await models(issuedApiKeySchema.parse(await rotated.json()).key)).toBe(200);
    expect(await models(tenant.key)).toBe(401);
    expect((await admin("DELETE", `/keys/${tenant.keyId}`)).status).toBe(204);
    await expectProblem(await admin("PATCH", `/keys/${tenant.keyId}`, { name: "x" }), "key_not_active");
    await expectProblem(await admin("POST", `/keys/${tenant.keyId}/rotate`, {}), "key_not_active");
  });

  it("answer not_found for what does not exist", async () => {
    await expectProblem(await admin("GET", "/accounts/acct_01j9z3k4m5n6p7q8r9s0t1v2w3/keys"), "not_found");
    await expectProblem(await admin("PATCH", `/keys/${ABSENT}`, { name: "x" }), "not_found");
    await expectProblem(await admin("POST", `/keys/${ABSENT}/rotate`, {}), "not_found");
  });
});
