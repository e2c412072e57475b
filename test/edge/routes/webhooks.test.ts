// Webhooks through HTTP: set-up, secrets, the log, and whose they are.
import { beforeEach, describe, expect, test } from "vitest";
import {
  attemptListSchema,
  deliveryPageSchema,
  endpointListSchema,
  endpointSchema,
  type IssuedEndpoint,
  issuedEndpointSchema,
  issuedSecretSchema,
  WEBHOOK_LIMITS,
} from "../../../shared/contract/webhooks.ts";
import { call, expectProblem } from "../support/http.ts";
import { everything } from "../support/invariants.ts";
import { newTenant, type Tenant } from "../support/tenant.ts";
import { freshDeployment } from "../support/world.ts";

const PATH = "/v1/webhook-endpoints";
/** A literal address, so that no name is looked up; nothing is ever sent to it here. */
const URL_TEXT = "https://8.8.8.8/hook";
/** What is sent there is refused by this machine (port 9 is nobody's). */
const CLOSED = "http://127.0.0.1:9/hook";
let tenant: Tenant;

beforeEach(async () => {
  await freshDeployment();
  tenant = await newTenant();
});

const as = async (method: string, path: string, body?: unknown, { key } = tenant) =>
  await call(method, path, { token: key, ...(body !== undefined && { body }) });

async function created(body: object = {}): Promise<IssuedEndpoint> {
  const answer = await as("POST", PATH, { url: URL_TEXT, ...body });
  expect(answer.status).toBe(201);
  return issuedEndpointSchema.strict().parse(await answer.json());
}

describe("endpoints", () => {
  test("the secret is shown once, and never again", async () => {
    const { secret, ...endpoint } = await created({ events: ["clip.succeeded"] });
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    const got = await (await as("GET", `${PATH}/${endpoint.id}`)).json();
    expect(endpointSchema.strict().parse(got)).toEqual(endpoint);
    const listed = await (await as("GET", PATH)).text();
    expect(endpointListSchema.parse(JSON.parse(listed)).data).toEqual([endpoint]);
    expect(listed).not.toContain(secret);
  });

  test("they are changed, disabled, enabled and deleted", async () => {
    const { id } = await created();
    const change = async (body: object) =>
      endpointSchema.parse(await (await as("PATCH", `${PATH}/${id}`, body)).json());
    expect(await change({ url: "https://1.1.1.1/", events: ["clip.failed"] })).toMatchObject({
      url: "https://1.1.1.1/",
      events: ["clip.failed"],
    });
    expect(await change({ events: null })).toMatchObject({ url: "https://1.1.1.1/", events: null });
    expect(await change({ enabled: false })).toMatchObject({ enabled: false, disabled_reason: "requested" });
    expect(await change({ enabled: true })).toMatchObject({ enabled: true, disabled_reason: null, disabled_at: null });
    expect((await as("DELETE", `${PATH}/${id}`)).status).toBe(204);
    await expectProblem(await as("GET", `${PATH}/${id}`), "not_found");
  });

  test("another account's endpoint is as if it were absent", async () => {
    const { id } = await created();
    const stranger = await newTenant();
    const before = await everything();
    for (const [method, path, body] of [
      ["GET", "", undefined],
      ["PATCH", "", { enabled: false }],
      ["DELETE", "", undefined],
      ["POST", "/test", undefined],
      ["POST", "/rotate-secret", {}],
    ] as const) {
      await expectProblem(await as(method, `${PATH}/${id}${path}`, body, stranger), "not_found");
    }
    expect(await everything()).toEqual(before);
  });

  test.each([
    [{ url: "http://8.8.8.8/" }, "/url"],
    [{ url: "https://169.254.169.254/" }, "/url"],
    [{ url: `https://8.8.8.8/${"x".repeat(2_000)}` }, "/url"],
    [{ url: URL_TEXT, events: [] }, "/events"],
    [{ url: URL_TEXT, events: ["clip.queued"] }, "/events/0"],
  ])("%j is refused", async (body, pointer) => {
    const before = await everything();
    await expectProblem(await as("POST", PATH, body), "invalid_request", pointer);
    expect(await everything()).toEqual(before);
  });

  test("an account has only so many, and one too many leaves nothing behind", async () => {
    for (let i = 0; i < WEBHOOK_LIMITS.endpointsPerAccount; i++) await created();
    const before = await everything();
    expect(await expectProblem(await as("POST", PATH, { url: URL_TEXT }), "invalid_request")).toContain("at most 20");
    expect(await everything()).toEqual(before);
  });
});

describe("secrets", () => {
  test("a rotation answers with the new secret and when the old one ends", async () => {
    const { id, secret } = await created();
    const rotated = await (await as("POST", `${PATH}/${id}/rotate-secret`, { overlap_s: 60 })).json();
    const issued = issuedSecretSchema.parse(rotated);
    expect(issued.secret).not.toBe(secret);
    expect(issued.previous_expires_at).not.toBeNull();
  });

  test("a clip's own URL needs the account's secret first", async () => {
    const order = { model: "turboclip-demo", prompt: "waves", webhook_url: URL_TEXT };
    await expectProblem(await as("POST", "/v1/clips", order), "invalid_request", "/webhook_url");
    const first = issuedSecretSchema.parse(await (await as("POST", "/v1/webhook-secret/rotate", {})).json());
    expect(first.previous_expires_at).toBeNull();
    expect((await as("POST", "/v1/clips", order)).status).toBe(202);
  });
});

describe("the log", () => {
  test("deliveries are paged and filtered, and their attempts and replays are their owner's", async () => {
    await as("POST", "/v1/webhook-secret/rotate", {});
    const events: string[] = [];
    for (let i = 0; i < 3; i++) {
      const order = { model: "turboclip-demo", prompt: "waves", webhook_url: CLOSED };
      const clip = (await (await as("POST", "/v1/clips", order)).json()) as { id: string };
      await as("POST", `/v1/clips/${clip.id}/cancel`);
    }
    const page = async (query: string) =>
      deliveryPageSchema.parse(await (await as("GET", `/v1/webhook-deliveries?${query}`)).json());
    for (let next: string | null = ""; next !== null; ) {
      const { data, next: following } = await page(`limit=2${next === "" ? "" : `&after=${encodeURIComponent(next)}`}`);
      events.push(...data.map(({ event_id: event }) => event));
      next = following;
    }
    expect(new Set(events).size).toBe(3);
    expect(events).toEqual(events.toSorted().toReversed());
    expect((await page("state=exhausted")).data).toEqual([]);
    const [event] = events;
    const log = await (await as("GET", `/v1/webhook-deliveries/${event}/attempts`)).json();
    expect(attemptListSchema.parse(log).data.length).toBeLessThanOrEqual(1);
    const stranger = await newTenant();
    await expectProblem(await as("GET", `/v1/webhook-deliveries/${event}/attempts`, undefined, stranger), "not_found");
    await expectProblem(await as("POST", `/v1/webhook-deliveries/${event}/replay`, undefined, stranger), "not_found");
    await expectProblem(await as("GET", "/v1/webhook-deliveries?after=nonsense"), "invalid_request", "/after");
  });
});
