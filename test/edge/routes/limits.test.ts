import { beforeEach, describe, expect, it } from "vitest";
import { limitListSchema } from "../../../shared/contract/limits.ts";
import { call, expectProblem } from "../support/http.ts";
import { admin, newTenant } from "../support/tenant.ts";
import { CLIP_PRICE, DEMO, freshDeployment } from "../support/world.ts";

beforeEach(freshDeployment);

const order = (token: string) => call("POST", "/v1/clips", { token, body: { model: DEMO, prompt: "a red ball" } });

describe("PATCH /admin/v1/accounts/{id}", () => {
  it("sets what is given, leaves the rest and answers with all of it", async () => {
    const { accountId } = await newTenant();
    const path = `/accounts/${accountId}`;
    expect(await (await admin("PATCH", path, { daily_cap_micros: 500 })).json()).toEqual({
      id: accountId,
      name: "a customer",
      daily_cap_micros: 500,
      max_in_flight: 1_000,
      log_prompts: false,
    });
    expect(await (await admin("PATCH", path, { max_in_flight: 2 })).json()).toMatchObject({
      daily_cap_micros: 500,
      max_in_flight: 2,
      log_prompts: false,
    });
    expect(await (await admin("PATCH", path, { daily_cap_micros: null })).json()).toMatchObject({
      daily_cap_micros: null,
      max_in_flight: 2,
      log_prompts: false,
    });
    expect(await (await admin("PATCH", path, {})).json()).toMatchObject({ max_in_flight: 2 });
  });

  it.each([[{ daily_cap_micros: -1 }], [{ max_in_flight: 1.5 }], [{ max_in_flight: null }], [{ max: 1 }]])(
    "refuses %j",
    async (body) => {
      const { accountId } = await newTenant();
      const [member] = Object.keys(body);
      await expectProblem(await admin("PATCH", `/accounts/${accountId}`, body), "invalid_request", `/${member}`);
    },
  );

  it("is not_found for an account that does not exist", async () => {
    const answer = await admin("PATCH", "/accounts/acct_01j9z3k4m5n6p7q8r9s0t1v2w3", { max_in_flight: 1 });
    await expectProblem(answer, "not_found");
  });
});

describe("GET /v1/limits", () => {
  it("lists what the caller is held to and what of it is used", async () => {
    const { accountId, key, keyId } = await newTenant();
    const limits = async () =>
      limitListSchema.parse(await (await call("GET", "/v1/limits", { token: key })).json()).data;
    expect(await limits()).toEqual([{ name: "max_in_flight", value: 1_000, used: 0, resets_at: null }]);
    await admin("PATCH", `/accounts/${accountId}`, { daily_cap_micros: 5_000 });
    await admin("PATCH", `/keys/${keyId}`, { daily_cap_micros: 4_000 });
    await order(key);
    expect(await limits()).toMatchObject([
      { name: "account_daily_cap", value: 5_000, used: CLIP_PRICE },
      { name: "key_daily_cap", value: 4_000, used: CLIP_PRICE },
      { name: "max_in_flight", value: 1_000, used: 1, resets_at: null },
    ]);
  });

  it("is closed without a key", async () => {
    await expectProblem(await call("GET", "/v1/limits"), "unauthenticated");
  });
});

describe("an order over a limit", () => {
  it("is 402 cap_exceeded with the cap, when it resets and Retry-After", async () => {
    const { key, keyId } = await newTenant();
    const set = await admin("PATCH", `/keys/${keyId}`, { daily_cap_micros: CLIP_PRICE });
    expect(await set.json()).toMatchObject({ id: keyId, daily_cap_micros: CLIP_PRICE });
    expect((await order(key)).status).toBe(202);
    const refused = await order(key);
    const { limit } = (await refused.clone().json()) as { limit: { name: string; value: number; resets_at: string } };
    await expectProblem(refused, "cap_exceeded");
    expect(limit).toMatchObject({ name: "key_daily_cap", value: CLIP_PRICE });
    expect(limit.resets_at).toMatch(/T00:00:00\.000Z$/);
    const retryAfter = Number(refused.headers.get("retry-after"));
    expect(retryAfter).toBeGreaterThanOrEqual(1);
    expect(retryAfter).toBeLessThanOrEqual(86_400);
  });

  it("is 429 too_many_in_flight with the maximum and Retry-After", async () => {
    const { accountId, key } = await newTenant();
    await admin("PATCH", `/accounts/${accountId}`, { max_in_flight: 1 });
    expect((await order(key)).status).toBe(202);
    const refused = await order(key);
    expect(await refused.clone().json()).toMatchObject({ limit: { name: "max_in_flight", value: 1, resets_at: null } });
    await expectProblem(refused, "too_many_in_flight");
    expect(refused.headers.get("retry-after")).toBe("5");
  });

  it("holds from the first order on for a key that was issued with a cap", async () => {
    const { accountId } = await newTenant();
    const issued = await admin("POST", `/accounts/${accountId}/keys`, { name: "capped", daily_cap_micros: 0 });
    const { key } = (await issued.json()) as { key: string };
    await expectProblem(await order(key), "cap_exceeded");
  });
});
