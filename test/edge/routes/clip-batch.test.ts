import { beforeEach, describe, expect, it } from "vitest";
import { type ClipBatch, clipBatchSchema, LIMITS } from "../../../shared/contract/clips.ts";
import { call, expectProblem } from "../support/http.ts";
import { everything, expectInvariants } from "../support/invariants.ts";
import { admin, claimOne, newRunner, newTenant, type Tenant } from "../support/tenant.ts";
import { CLIP_PRICE, DEMO, freshDeployment } from "../support/world.ts";

beforeEach(freshDeployment);

const ORDER = { model: DEMO, prompt: "a red ball" };

async function order(tenant: Tenant, body: object, headers: Record<string, string> = {}): Promise<Response> {
  return await call("POST", "/v1/clips", { token: tenant.key, body: { ...ORDER, ...body }, headers });
}

async function batchOf(answer: Response): Promise<ClipBatch> {
  return clipBatchSchema.strict().parse(await answer.json());
}

describe("POST /v1/clips with n", () => {
  it.each([1, 2, LIMITS.clipsPerOrder])(
    "answers 202 with a list of %d clips, one hold each, and no Location",
    async (n) => {
      const tenant = await newTenant();
      const answer = await order(tenant, { n });
      expect([answer.status, answer.headers.get("location")]).toEqual([202, null]);
      const { data } = await batchOf(answer);
      expect(data.map(({ state, price_micros }) => [state, price_micros])).toEqual(
        Array.from({ length: n }, () => ["queued", CLIP_PRICE]),
      );
      expect(new Set(data.map(({ id }) => id)).size).toBe(n);
      expect(new Set(data.map(({ seed }) => seed)).size).toBe(n);
      const balance = await (await call("GET", "/v1/balance", { token: tenant.key })).json();
      expect(balance).toMatchObject({ pending_micros: n * CLIP_PRICE });
      await expectInvariants();
    },
  );

  it("is taken from the queue in the order of the list", async () => {
    const tenant = await newTenant();
    const { data } = await batchOf(await order(tenant, { n: 3 }));
    const taken: string[] = [];
    for (let i = 0; i < 3; i++) taken.push((await claimOne(await newRunner())).clip_id);
    expect(taken).toEqual(data.map(({ id }) => id));
  });

  it("gives a seed to the first clip and each next one more", async () => {
    const tenant = await newTenant();
    const { data } = await batchOf(await order(tenant, { n: 3, seed: 7 }));
    expect(data.map(({ seed }) => seed)).toEqual([7, 8, 9]);
    const last = Number.MAX_SAFE_INTEGER;
    await expectProblem(await order(tenant, { n: 2, seed: last }), "invalid_request", "/seed");
    expect((await batchOf(await order(tenant, { n: 2, seed: last - 1 }))).data.at(-1)?.seed).toBe(last);
  });

  it.each([0, LIMITS.clipsPerOrder + 1, 1.5, "2"])("refuses n = %j", async (n) => {
    await expectProblem(await order(await newTenant(), { n }), "invalid_request", "/n");
  });

  it("orders all clips once for one Idempotency-Key, in the same bytes", async () => {
    const tenant = await newTenant();
    const headers = { "idempotency-key": "k-1" };
    const answers = await Promise.all([1, 2, 3].map(async () => await order(tenant, { n: 3 }, headers)));
    const texts = await Promise.all(answers.map(async (answer) => await answer.text()));
    expect(new Set(texts).size).toBe(1);
    expect(answers.filter((answer) => answer.headers.has("idempotent-replayed"))).toHaveLength(2);
    await expectProblem(await order(tenant, { n: 2 }, headers), "idempotency_mismatch");
    await expectProblem(await order(tenant, {}, headers), "idempotency_mismatch");
    const { data } = (await (await call("GET", "/v1/clips", { token: tenant.key })).json()) as { data: unknown[] };
    expect(data).toHaveLength(3);
    await expectInvariants();
  });

  it.each([
    ["insufficient_balance", CLIP_PRICE * 3 - 1, {}],
    ["cap_exceeded", 1_000_000, { daily_cap_micros: CLIP_PRICE * 3 - 1 }],
    ["too_many_in_flight", 1_000_000, { max_in_flight: 2 }],
  ] as const)("is %s as a whole when only two of three clips fit", async (code, credit, limits) => {
    const tenant = await newTenant(credit);
    expect((await admin("PATCH", `/accounts/${tenant.accountId}`, limits)).status).toBe(200);
    const before = await everything();
    const refused = await order(tenant, { n: 3 }, { "idempotency-key": "k" });
    const problem = (await refused.clone().json()) as { detail: string };
    expect(problem.detail).toContain(code === "too_many_in_flight" ? "2 clips" : `3 clips cost ${3 * CLIP_PRICE}`);
    expect(refused.status).toBe({ insufficient_balance: 402, cap_exceeded: 402, too_many_in_flight: 429 }[code]);
    expect(await everything()).toEqual(before);
    expect((await order(tenant, { n: 2 }, { "idempotency-key": "k" })).status).toBe(202);
    await expectInvariants();
  });

  it("answers with Prefer: wait when all of its clips have ended", async () => {
    const tenant = await newTenant();
    const headers = { "idempotency-key": "k-1" };
    const { data } = await batchOf(await order(tenant, { n: 2 }, headers));
    const waiting = { ...headers, prefer: "wait=0" };
    expect((await order(tenant, { n: 2 }, waiting)).status).toBe(202);
    for (const { id } of data) await call("POST", `/v1/clips/${id}/cancel`, { token: tenant.key });
    const ended = await order(tenant, { n: 2 }, waiting);
    expect([ended.status, ended.headers.get("preference-applied")]).toEqual([200, "wait=0"]);
    expect((await batchOf(ended)).data.map(({ state }) => state)).toEqual(["cancelled", "cancelled"]);
  });
});
