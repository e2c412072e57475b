// What a customer is told of a request that does not fit: each mistake, where it is, what would be right.
import { beforeAll, describe, expect, it } from "vitest";
import { type Problem, problemSchema } from "../../../shared/contract/clips.ts";
import { type Call, call } from "../support/http.ts";
import { newKey } from "../support/keys.ts";
import { newTenant } from "../support/tenant.ts";
import { DEMO, freshDeployment } from "../support/world.ts";

let token: string;

beforeAll(async () => {
  await freshDeployment();
  token = (await newTenant()).key;
});

async function refused(method: string, path: string, request: Call = {}): Promise<Problem> {
  const answer = await call(method, path, { token, ...request });
  expect(answer.status).toBe(400);
  return problemSchema.strict().parse(await answer.json());
}

const order = async (members: object) =>
  await refused("POST", "/v1/clips", { body: { model: DEMO, prompt: "x", ...members } });

describe("an invalid_request", () => {
  it("names every mistake of a body by its JSON Pointer, the first also as its detail", async () => {
    const { detail, pointer, errors } = await refused("POST", "/v1/clips", {
      body: { modle: DEMO, prompt: 3, steps: 8, metadata: { "a/b~": "c" } },
    });
    expect([detail, pointer]).toEqual(["/model: is required", "/model"]);
    expect(errors).toEqual([
      { pointer: "/model", detail: "is required" },
      { pointer: "/prompt", detail: "must be text, not 3" },
      { pointer: "/steps", detail: "must be at most 4, not 8" },
      {
        pointer: "/metadata/a~1b~0",
        detail: "a name has 1 to 40 letters, digits, dots, hyphens and underscores",
      },
      {
        pointer: "/modle",
        detail: expect.stringMatching(/^"modle" is not known here; there are model, prompt, size, .*$/),
      },
    ]);
  });

  it.each([
    [{ steps: 1.5 }, "/steps: must be a whole number, not 1.5"],
    [{ steps: null }, "/steps: must be a number, not null"],
    [{ steps: 0 }, "/steps: must be at least 1, not 0"],
    [{ sampler: "euler" }, '/sampler: must be "sde" or "ode", not "euler"'],
    [{ sampler: "x".repeat(41) }, '/sampler: must be "sde" or "ode"'],
    [{ metadata: { a: "x".repeat(501) } }, "/metadata/a: must have at most 500 characters, not 501"],
    [{ metadata: [] }, "/metadata: must be an object, not a list"],
    [{ prompt: ["x"] }, "/prompt: must be text, not a list"],
  ])("names the value and what would be right: %j", async (members, detail) => {
    expect((await order(members)).detail).toBe(detail);
  });

  it.each([
    ["limit=500", "limit", "must be at most 100, not 500"],
    ["limit=x", "limit", "must be a number"],
    [
      "state=completed",
      "state",
      'must be "queued", "running", "succeeded", "failed", "cancelled" or "expired", not "completed"',
    ],
    ["created_from=2026-11-01", "created_from", "must be a time in UTC like 2026-11-23T12:00:00Z"],
    ["metadata=x", "metadata", "must be <name>=<value>, the name as metadata has it"],
  ])("names a query parameter: %s", async (query, parameter, detail) => {
    const problem = await refused("GET", `/v1/clips?${query}`);
    expect(problem.errors).toEqual([{ parameter, detail }]);
    expect(problem.detail).toBe(`query ${parameter}: ${detail}`);
    expect(problem).not.toHaveProperty("pointer");
  });

  it.each(["clips", "ledger", "usage", "keys", "audit-log", "webhook-deliveries", "top-ups"])(
    "refuses a filter of /v1/%s that it would have to ignore",
    async (list) => {
      const { key } = await newKey(await newTenant(0));
      const { errors } = await refused("GET", `/v1/${list}?status=succeeded`, { token: key });
      expect(errors).toEqual([{ parameter: "status", detail: expect.stringContaining("is not known here") }]);
    },
  );

  it("names a header", async () => {
    const headers = { "idempotency-key": "x".repeat(256) };
    const { errors } = await refused("POST", "/v1/clips", { headers, body: { model: DEMO, prompt: "x" } });
    expect(errors).toEqual([{ header: "idempotency-key", detail: "must have at most 255 characters, not 256" }]);
  });

  it("tells at most 20 mistakes", async () => {
    const { errors } = await order(Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`m${i}`, 1])));
    expect(errors).toHaveLength(20);
  });

  it("says of a body that is none, or of another type, what to send", async () => {
    expect((await refused("POST", "/v1/clips", { body: "{" })).detail).toBe("The body is not valid JSON.");
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    const typed = await refused("POST", "/v1/clips", { body: "model=x", headers });
    expect(typed.detail).toContain("`Content-Type: application/json`");
  });
});
