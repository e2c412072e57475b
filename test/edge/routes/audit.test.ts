// The audit log: every act on keys and money, by whom, once, and never changed.
import { beforeEach, describe, expect, it } from "vitest";
import { grantCredit } from "../../../edge/services/money/grant.ts";
import { type AuditPage, auditPageSchema } from "../../../shared/contract/audit.ts";
import { issuedApiKeySchema } from "../../../shared/contract/keys.ts";
import type { AccountId } from "../../../shared/ids.ts";
import { micros } from "../../../shared/pricing.ts";
import { env } from "../support/env.ts";
import { flakyDatabase } from "../support/flaky.ts";
import { call, expectProblem } from "../support/http.ts";
import { newKey, type TestKey } from "../support/keys.ts";
import { admin, newTenant, type Tenant } from "../support/tenant.ts";
import { freshDeployment, World } from "../support/world.ts";

let tenant: Tenant;
let manager: TestKey;
beforeEach(async () => {
  await freshDeployment();
  tenant = await newTenant();
  manager = await newKey(tenant);
});

const PATH = "/v1/audit-log";
async function page(query = "", token = manager.key): Promise<AuditPage> {
  const answer = await call("GET", `${PATH}${query}`, { token });
  expect(answer.status).toBe(200);
  expect(answer.headers.get("cache-control")).toBe("no-store");
  return auditPageSchema.parse(await answer.json());
}
const ask = async (method: string, path: string, body?: unknown) =>
  await call(method, path, { token: manager.key, ...(body !== undefined && { body }) });

describe("GET /v1/audit-log", () => {
  it("tells of a key's life: who made, changed, rotated and revoked it, by which request, without a secret", async () => {
    const wanted = { name: "n", scopes: ["clips:read"], daily_cap_micros: 5 };
    const made = await ask("POST", "/v1/keys", wanted);
    const { id, key } = issuedApiKeySchema.parse(await made.clone().json());
    const changed = await ask("PATCH", `/v1/keys/${id}`, { name: "m", daily_cap_micros: 4 });
    const rotated = await ask("POST", `/v1/keys/${id}/rotate`, { overlap_seconds: 60 });
    const next = issuedApiKeySchema.parse(await rotated.clone().json()).key;
    const revoked = await admin("DELETE", `/keys/${id}`);
    await admin("DELETE", `/keys/${id}`); // which changes nothing
    const { data } = await page("?limit=4");
    const by = (answer: Response) => ({ subject: id, request_id: answer.headers.get("x-request-id") });
    const own = { account_id: tenant.accountId, actor: manager.id };
    expect(data).toMatchObject([
      { ...by(revoked), actor: "operator", action: "key.revoked", detail: {} },
      { ...own, ...by(rotated), action: "key.rotated", detail: { overlap_seconds: 60 } },
      { ...own, ...by(changed), action: "key.changed", detail: { name: "m", daily_cap_micros: 4 } },
      { ...own, ...by(made), action: "key.created", detail: { ...wanted, expires_at: null } },
    ]);
    const text = JSON.stringify((await env.DB.prepare("select * from audit_log").all()).results);
    for (const secret of [key, next]) expect(text).not.toContain(secret.split("_")[3]);
  });

  it("tells of credit once though it was asked for twice, and of an account's limits", async () => {
    const grant = { amount_micros: 500, reason: "sorry", idempotency_key: "again" };
    const granted = await admin("POST", `/accounts/${tenant.accountId}/grants`, grant);
    await admin("POST", `/accounts/${tenant.accountId}/grants`, grant);
    await admin("PATCH", `/accounts/${tenant.accountId}`, { max_in_flight: 3, log_prompts: true });
    const { transaction_id: subject } = (await granted.json()) as { transaction_id: string };
    const entries = (await page("?limit=2")).data;
    expect(entries).toMatchObject([
      { action: "account.changed", actor: "operator", detail: { max_in_flight: 3, log_prompts: true } },
      { action: "credit.granted", actor: "operator", subject, detail: { amount_micros: 500, reason: "sorry" } },
    ]);
    expect((await page()).data.filter(({ subject: of }) => of === subject)).toHaveLength(1);
  });

  it("tells of a refund, with its amount and transaction", async () => {
    const world = new World();
    const { clip_id: id } = await world.finishedBy({
      accountId: tenant.accountId as AccountId,
      keyId: tenant.keyId as never,
      tokenId: null,
    });
    const refund = { amount_micros: 8, reason: "blurred", idempotency_key: "r" };
    const answer = (await (await admin("POST", `/clips/${id}/refunds`, refund)).json()) as { transaction_id: string };
    expect((await page("?limit=1")).data).toMatchObject([
      {
        action: "clip.refunded",
        subject: id,
        detail: { amount_micros: 8, reason: "blurred", transaction_id: answer.transaction_id },
      },
    ]);
  });

  it("has no entry of what was refused or changed nothing", async () => {
    const before = (await page()).data.length;
    await expectProblem(
      await ask("POST", "/v1/keys", { name: "n", scopes: ["clips:read"], daily_cap_micros: -1 }),
      "invalid_request",
      "/daily_cap_micros",
    );
    await ask("PATCH", `/v1/keys/${manager.id}`, {});
    await admin("DELETE", `/keys/${tenant.keyId}`);
    await expectProblem(await ask("PATCH", `/v1/keys/${tenant.keyId}`, { name: "x" }), "key_not_active");
    await expectProblem(await ask("POST", `/v1/keys/${tenant.keyId}/rotate`, {}), "key_not_active");
    await expectProblem(
      await admin("PATCH", "/accounts/acct_01j9z3k4m5n6p7q8r9s0t1v2w3", { max_in_flight: 1 }),
      "not_found",
    );
    expect((await page()).data.length).toBe(before + 1);
  });

  it("goes by pages without gap or repetition, and shows nobody another's", async () => {
    const all = (await page()).data.map(({ id }) => id);
    expect(all).toEqual(all.toSorted().toReversed());
    const first = await page("?limit=1");
    const second = await page(`?limit=50&after=${first.next}`);
    expect([...first.data, ...second.data].map(({ id }) => id)).toEqual(all);
    expect(second.next).toBeNull();
    const other = await newTenant();
    const { key } = await newKey(other);
    expect((await page("", key)).data.every(({ account_id: of }) => of === other.accountId)).toBe(true);
  });

  it("asks for keys:write, and refuses limits and cursors that are none", async () => {
    await expectProblem(await call("GET", PATH, { token: tenant.key }), "scope_missing");
    await expectProblem(await ask("GET", `${PATH}?limit=0`), "invalid_request");
    await expectProblem(await ask("GET", `${PATH}?limit=201`), "invalid_request");
    await expectProblem(await ask("GET", `${PATH}?after=aud_x`), "invalid_request");
  });
});

describe("the operator's view", () => {
  it("shows all accounts, or one", async () => {
    const other = await newTenant();
    const read = async (query = "") => auditPageSchema.parse(await (await admin("GET", `/audit-log${query}`)).json());
    const accounts = (entries: AuditPage) => new Set(entries.data.map(({ account_id: of }) => of));
    expect(accounts(await read())).toEqual(new Set([tenant.accountId, other.accountId]));
    expect(accounts(await read(`?account=${other.accountId}`))).toEqual(new Set([other.accountId]));
    await expectProblem(await call("GET", "/admin/v1/audit-log", { token: manager.key }), "unauthenticated");
  });
});

describe("an entry", () => {
  it("is never changed or deleted", async () => {
    for (const change of [
      "update audit_log set actor = 'system'",
      "delete from audit_log",
      "replace into audit_log select * from audit_log",
    ]) {
      await expect(env.DB.prepare(change).run()).rejects.toThrow("audit_log is append-only");
    }
  });

  it("stands exactly when its act does, whatever is lost on the way", async () => {
    const { db, lose } = flakyDatabase();
    const { ports } = new World({ db });
    const grant = {
      accountId: tenant.accountId as AccountId,
      amountMicros: micros(7),
      reason: "x",
      idempotencyKey: "k",
    };
    for (const loss of ["request", "answer"] as const) {
      lose(loss);
      await expect(grantCredit(ports, grant)).rejects.toThrow();
    }
    await grantCredit(ports, grant);
    const { results } = await env.DB.prepare(
      "select json_extract(detail, '$.amount_micros') as micros from audit_log where action = 'credit.granted'",
    ).all();
    expect(results).toEqual([{ micros: 1_000_000 }, { micros: 7 }]);
  });
});
