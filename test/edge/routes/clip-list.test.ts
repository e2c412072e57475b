import { beforeEach, describe, expect, it } from "vitest";
import { clipPageSchema } from "../../../shared/contract/clips.ts";
import { call, expectProblem } from "../support/http.ts";
import { newTenant, type Tenant } from "../support/tenant.ts";
import { DEMO, freshDeployment } from "../support/world.ts";

beforeEach(freshDeployment);

const order = async ({ key }: Tenant, more: object = {}) =>
  await call("POST", "/v1/clips", { token: key, body: { model: DEMO, prompt: "a red ball", ...more } });

describe("GET /v1/clips", () => {
  it("answers 200 with the caller's clips, their metadata among what is shown", async () => {
    const tenant = await newTenant();
    await order(await newTenant());
    await order(tenant, { metadata: { order: "1" } });
    await order(tenant);
    const answer = await call("GET", "/v1/clips?limit=10&metadata=order%3D1", { token: tenant.key });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("cache-control")).toBe("no-store");
    const page = clipPageSchema.strict().parse(await answer.json());
    expect(page.next).toBeNull();
    expect(page.data).toMatchObject([{ metadata: { order: "1" } }]);
  });

  it.each([
    ["limit=0", "limit"],
    ["limit=101", "limit"],
    ["after=acct_01j9z3k4m5n6p7q8r9s0t1v2w3", "after"],
    ["state=leased", "state"],
    ["created_from=yesterday", "created_from"],
    ["metadata=order", "metadata"],
    ["metadata=a%22b%3D1", "metadata"],
  ])("refuses %s and names it", async (query, name) => {
    const { key } = await newTenant();
    const answer = await call("GET", `/v1/clips?${query}`, { token: key });
    expect(await expectProblem(answer, "invalid_request")).toContain(name);
  });

  it("is refused without a key", async () => {
    await expectProblem(await call("GET", "/v1/clips"), "unauthenticated");
  });
});

describe("metadata of an order", () => {
  it.each([
    ["seventeen entries", Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`n${i}`, ""])), "/metadata"],
    ["a name with a space", { "a name": "" }, "/metadata/a name"],
    ["a name of 41 characters", { ["n".repeat(41)]: "" }, `/metadata/${"n".repeat(41)}`],
    ["a value of 501 characters", { name: "v".repeat(501) }, "/metadata/name"],
    ["a number", { name: 1 }, "/metadata/name"],
  ])("is refused with %s", async (_, metadata, pointer) => {
    await expectProblem(await order(await newTenant(), { metadata }), "invalid_request", pointer);
  });
});
