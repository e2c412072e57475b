import { createExecutionContext } from "cloudflare:test";
import { beforeEach, describe, expect, it, vi } from "vitest";
import worker from "../../../edge/index.ts";
import { problemSchema } from "../../../shared/contract/clips.ts";
import { ERRORS } from "../../../shared/errors.ts";
import { env } from "../support/env.ts";
import { call, expectProblem } from "../support/http.ts";
import { expectInvariants } from "../support/invariants.ts";
import { admin, newTenant } from "../support/tenant.ts";
import { DEMO, freshDeployment } from "../support/world.ts";

beforeEach(freshDeployment);

describe("the operator's routes", () => {
  it("are closed without the admin token", async () => {
    const tenant = await newTenant();
    for (const token of [tenant.key, `${env.ADMIN_TOKEN}x`, env.ADMIN_TOKEN.slice(1)]) {
      const answer = await call("POST", "/admin/v1/accounts", { token, body: { name: "x" } });
      await expectProblem(answer, "unauthenticated");
    }
    await expectProblem(await call("POST", "/admin/v1/accounts", { body: { name: "x" } }), "unauthenticated");
  });

  it("grant credit once per key, by header or by body, and never without one", async () => {
    const { accountId, key } = await newTenant(0);
    const path = `/accounts/${accountId}/grants`;
    const grant = { amount_micros: 500, reason: "welcome" };
    const header = { "idempotency-key": "g-1" };
    const answers = [
      await (await admin("POST", path, grant, header)).text(),
      await (await admin("POST", path, grant, header)).text(),
      await (await admin("POST", path, { ...grant, idempotency_key: "g-1" })).text(),
    ];
    expect(new Set(answers).size).toBe(1);
    await expectProblem(await admin("POST", path, grant), "invalid_request");
    await expectProblem(await admin("POST", path, { ...grant, amount_micros: 501 }, header), "idempotency_mismatch");
    const balance = await (await call("GET", "/v1/balance", { token: key })).json();
    expect(balance).toEqual({ posted_micros: 500, pending_micros: 0, available_micros: 500 });
    await expectInvariants();
  });

  it.each([0, -5, 0.5, 1e13])("refuse a grant of %d", async (amount) => {
    const { accountId } = await newTenant(0);
    const grant = { amount_micros: amount, reason: "x", idempotency_key: "g" };
    await expectProblem(
      await admin("POST", `/accounts/${accountId}/grants`, grant),
      "invalid_request",
      "/amount_micros",
    );
  });

  it("answer not_found for accounts and keys that do not exist", async () => {
    const absent = "01j9z3k4m5n6p7q8r9s0t1v2w3";
    const grant = { amount_micros: 5, reason: "x", idempotency_key: "g" };
    await expectProblem(await admin("POST", `/accounts/acct_${absent}/grants`, grant), "not_found");
    await expectProblem(await admin("POST", `/accounts/acct_${absent}/keys`, { name: "k" }), "not_found");
    await expectProblem(await admin("DELETE", `/keys/key_${absent}`), "not_found");
    await expectProblem(await admin("DELETE", "/keys/nonsense"), "not_found");
  });
});

describe("the service", () => {
  it("says that it is up", async () => {
    expect(await (await call("GET", "/healthz")).json()).toEqual({ status: "ok" });
  });

  it("names a missing setting instead of doing anything", async () => {
    const broken = { ...env, SIGNING_KEYS: "" } as typeof env;
    const answer = await worker.fetch(new Request("https://clips.test/healthz"), broken, createExecutionContext());
    expect(await expectProblem(answer, "internal")).toContain("SIGNING_KEYS");
  });

  it("describes its public routes, with every status a problem document", async () => {
    const document = (await (await call("GET", "/openapi.json")).json()) as {
      openapi: string;
      paths: Record<string, Record<string, { responses: Record<string, unknown> }>>;
      components: { schemas: Record<string, unknown> };
    };
    expect(document.openapi).toBe("3.1.0");
    expect(Object.keys(document.paths).toSorted()).toEqual([
      "/t/{token}",
      "/v1/audit-log",
      "/v1/auto-top-up",
      "/v1/balance",
      "/v1/balance-alert",
      "/v1/browser-tokens",
      "/v1/clips",
      "/v1/clips/estimate",
      "/v1/clips/{id}",
      "/v1/clips/{id}/cancel",
      "/v1/clips/{id}/events",
      "/v1/files/{clip}/{variant}",
      "/v1/integrations/links",
      "/v1/integrations/links/{id}",
      "/v1/keys",
      "/v1/keys/{id}",
      "/v1/keys/{id}/rotate",
      "/v1/ledger",
      "/v1/limits",
      "/v1/models",
      "/v1/statements/{file}",
      "/v1/top-ups",
      "/v1/top-ups/{id}",
      "/v1/triggers",
      "/v1/triggers/{id}",
      "/v1/triggers/{id}/deliveries",
      "/v1/triggers/{id}/preview",
      "/v1/triggers/{id}/rotate",
      "/v1/uploads",
      "/v1/uploads/{id}",
      "/v1/uploads/{id}/complete",
      "/v1/usage",
      "/v1/videos",
      "/v1/videos/{id}",
      "/v1/videos/{id}/content",
      "/v1/webhook-deliveries",
      "/v1/webhook-deliveries/{id}/attempts",
      "/v1/webhook-deliveries/{id}/replay",
      "/v1/webhook-endpoints",
      "/v1/webhook-endpoints/{id}",
      "/v1/webhook-endpoints/{id}/rotate-secret",
      "/v1/webhook-endpoints/{id}/test",
      "/v1/webhook-secret/rotate",
    ]);
    expect(Object.keys(document.components.schemas)).toEqual(
      expect.arrayContaining(["Clip", "CreateClip", "Problem", "Balance", "Model"]),
    );
    expect(Object.keys(document.paths["/v1/clips"]?.post?.responses ?? {}).toSorted()).toEqual([
      "200",
      "202",
      "400",
      "401",
      "402",
      "403",
      "409",
      "410",
      "413",
      "422",
      "429",
      "431",
      "500",
      "503",
    ]);
  });

  it("answers internal with no word about the inside, and logs neither key nor prompt", async () => {
    const tenant = await newTenant();
    const lines: string[] = [];
    for (const method of ["info", "warn", "error"] as const) {
      vi.spyOn(console, method).mockImplementation((line: string) => void lines.push(line));
    }
    const body = { model: DEMO, prompt: "a secret prompt" };
    expect((await call("POST", "/v1/clips", { token: tenant.key, body })).status).toBe(202);
    await env.DB.prepare("alter table clips rename to clips_away").run();
    const answer = await call("POST", "/v1/clips", { token: tenant.key, body });
    const text = await answer.clone().text();
    expect(await expectProblem(answer, "internal")).toBe("Something went wrong on our side.");
    await env.DB.prepare("alter table clips_away rename to clips").run();
    await env.DB.prepare("alter table api_keys rename to api_keys_away").run();
    expect((await call("GET", "/v1/models", { token: tenant.key })).status).toBe(500);
    vi.restoreAllMocks();
    const logged = lines.join("\n");
    expect(logged).toContain(problemSchema.parse(JSON.parse(text)).request_id);
    expect(logged).toContain('"route":"/v1/clips"');
    expect(logged).toContain("no such table");
    expect(logged).not.toContain("secret prompt");
    expect(logged).not.toContain(tenant.key);
    expect(logged).not.toContain(tenant.key.split("_")[3]);
  });

  it("has a title and a status for each code of its table", () => {
    for (const { status, title } of Object.values(ERRORS)) {
      expect(status).toBeGreaterThanOrEqual(400);
      expect(title).not.toBe("");
    }
  });
});
