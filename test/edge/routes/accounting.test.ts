import { beforeEach, describe, expect, it } from "vitest";
import { ledgerPageSchema, usageSchema } from "../../../shared/contract/accounting.ts";
import { env } from "../support/env.ts";
import { call, expectProblem } from "../support/http.ts";
import { admin, claimOne, newRunner, newTenant, type Tenant } from "../support/tenant.ts";
import { CLIP_PRICE, completion, DEMO, FILES, freshDeployment } from "../support/world.ts";

beforeEach(freshDeployment);

async function charged({ key }: Tenant): Promise<string> {
  await call("POST", "/v1/clips", { token: key, body: { model: DEMO, prompt: "a red ball" } });
  const runner = await newRunner();
  const claim = await claimOne(runner);
  const folder = `clips/${claim.clip_id}/${claim.attempt}`;
  await env.BUCKET.put(`${folder}/clip.mp4`, FILES.mp4);
  await env.BUCKET.put(`${folder}/poster.jpg`, FILES.poster);
  const path = `/runner/v1/attempts/${claim.lease_token}/complete`;
  const done = await call("POST", path, { token: runner.token, body: await completion() });
  expect(done.status).toBe(200);
  return claim.clip_id;
}

describe("POST /admin/v1/clips/{id}/refunds", () => {
  it("answers 201 with the refund, and the same again for the same key", async () => {
    const tenant = await newTenant();
    const id = await charged(tenant);
    const headers = { "idempotency-key": "r1" };
    const first = await admin("POST", `/clips/${id}/refunds`, { reason: "blurred" }, headers);
    expect(first.status).toBe(201);
    const body = await first.json();
    expect(body).toMatchObject({ clip_id: id, account_id: tenant.accountId, amount_micros: CLIP_PRICE });
    const again = await admin("POST", `/clips/${id}/refunds`, { reason: "blurred", idempotency_key: "r1" });
    expect(await again.json()).toEqual(body);
    const other = await admin("POST", `/clips/${id}/refunds`, { reason: "blurred" }, { "idempotency-key": "r2" });
    await expectProblem(other, "not_refundable");
    const mismatch = await admin("POST", `/clips/${id}/refunds`, { reason: "other" }, headers);
    await expectProblem(mismatch, "idempotency_mismatch");
  });

  it("is refused without an idempotency key, without a reason and for nothing", async () => {
    const id = "clip_01j9z3k4m5n6p7q8r9s0t1v2w3";
    await expectProblem(await admin("POST", `/clips/${id}/refunds`, { reason: "r" }), "invalid_request");
    const headers = { "idempotency-key": "r" };
    await expectProblem(await admin("POST", `/clips/${id}/refunds`, {}, headers), "invalid_request", "/reason");
    const nothing = { reason: "r", amount_micros: 0 };
    await expectProblem(
      await admin("POST", `/clips/${id}/refunds`, nothing, headers),
      "invalid_request",
      "/amount_micros",
    );
    await expectProblem(await admin("POST", `/clips/${id}/refunds`, { reason: "r" }, headers), "not_found");
  });
});

describe("an account's books", () => {
  it("show a charge in usage, ledger and statement alike, and to its owner only", async () => {
    const tenant = await newTenant();
    const id = await charged(tenant);
    const other = await newTenant();
    const get = async (path: string, { key }: Tenant) => await call("GET", path, { token: key });

    const usage = usageSchema.parse(await (await get("/v1/usage", tenant)).json());
    expect(usage.total).toMatchObject({ clips: 1, net_micros: CLIP_PRICE });
    expect(usage.data[0]?.key_id).toBe(tenant.keyId);
    expect(usageSchema.parse(await (await get("/v1/usage", other)).json()).data).toEqual([]);

    const page = ledgerPageSchema.parse(await (await get("/v1/ledger?limit=1", tenant)).json());
    expect(page).toMatchObject({ has_more: true, data: [{ kind: "capture", clip_id: id }] });
    const next = await get(`/v1/ledger?limit=1&after=${page.data[0]?.id}`, tenant);
    expect(ledgerPageSchema.parse(await next.json()).data[0]?.kind).toBe("hold");
    expect(ledgerPageSchema.parse(await (await get("/v1/ledger", other)).json()).data).toHaveLength(1);

    const month = new Date().toISOString().slice(0, 7);
    const statement = await get(`/v1/statements/${month}.csv`, tenant);
    expect(statement.headers.get("content-type")).toBe("text/csv; charset=utf-8; header=present");
    expect(statement.headers.get("content-disposition")).toBe(`attachment; filename="turboclip-${month}.csv"`);
    expect((await statement.text()).match(/,capture,/g)).toHaveLength(1);
  });

  it.each([
    ["/v1/usage?from=2026-11-31", "invalid_request"],
    ["/v1/usage?from=2026-01-01&to=2026-11-01", "invalid_request"],
    ["/v1/ledger?limit=0", "invalid_request"],
    ["/v1/ledger?limit=201", "invalid_request"],
    ["/v1/ledger?after=clip_01j9z3k4m5n6p7q8r9s0t1v2w3", "invalid_request"],
    ["/v1/statements/2026-13.csv", "not_found"],
    ["/v1/statements/2099-01.csv", "not_found"],
    ["/v1/statements/2026-11", "not_found"],
  ] as const)("refuse GET %s as %s", async (path, code) => {
    const { key } = await newTenant(0);
    await expectProblem(await call("GET", path, { token: key }), code);
  });

  it.each(["/v1/usage", "/v1/ledger", "/v1/statements/2026-11.csv"])("are closed without a key: %s", async (path) => {
    await expectProblem(await call("GET", path), "unauthenticated");
  });
});
