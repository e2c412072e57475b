// Webhooks out, by the invariants: W1 delivered or listed, W2 one id and verifiable bytes, W3 when and where, W4 apart.
import { Webhook } from "standardwebhooks";
import { beforeEach, describe, expect, test, vi } from "vitest";
import type { Lane } from "../../../db/schema.ts";
import { listAudit } from "../../../edge/services/audit.ts";
import { cancelClip } from "../../../edge/services/clips/cancel.ts";
import { completeAttempt } from "../../../edge/services/leases/complete.ts";
import { failAttempt } from "../../../edge/services/leases/fail.ts";
import type { OutboundPost } from "../../../edge/services/ports.ts";
import { sweep } from "../../../edge/services/sweep.ts";
import { ATTEMPT_TIMEOUT_MS } from "../../../edge/services/webhooks/attempt.ts";
import { deliverDue, FAILING_DISABLES_MS } from "../../../edge/services/webhooks/deliver.ts";
import { listAttempts, listDeliveries, replayMessage } from "../../../edge/services/webhooks/deliveries.ts";
import {
  changeEndpoint,
  createEndpoint,
  getEndpoint,
  removeEndpoint,
  rotateEndpointSecret,
  sendTest,
} from "../../../edge/services/webhooks/endpoints.ts";
import { JITTER, WAITS_MS } from "../../../edge/services/webhooks/schedule.ts";
import { rotateSecret } from "../../../edge/services/webhooks/secrets.ts";
import { LOST_WAKE_MS } from "../../../edge/services/webhooks/wake.ts";
import type { WebhookEventType } from "../../../shared/contract/webhooks.ts";
import type { AccountId, EndpointId } from "../../../shared/ids.ts";
import { env } from "../support/env.ts";
import { flakyDatabase } from "../support/flaky.ts";
import { expectInvariants } from "../support/invariants.ts";
import { answering, Receivers, RecordingOutboxes } from "../support/receivers.ts";
import { completion, freshDeployment, World } from "../support/world.ts";

let receivers: Receivers;
let outboxes: RecordingOutboxes;
let world: World;
let account: AccountId;
const flaky = flakyDatabase();

beforeEach(async () => {
  await freshDeployment();
  receivers = new Receivers();
  outboxes = new RecordingOutboxes();
  world = new World({ db: flaky.db, outbound: receivers, resolver: receivers, outboxes });
  account = await world.account();
});

async function endpoint(host: string, events: WebhookEventType[] | null = null) {
  if (!receivers.addresses.has(host)) receivers.host(host);
  return await createEndpoint(world.ports, account, { url: `https://${host}/hook`, events });
}

const lane = (id: EndpointId): Lane => id as string as Lane;
const deliver = async (id: EndpointId) => await deliverDue(world.ports, lane(id));

/** In the order of the alphabet: what happens within one millisecond has no other. */
async function states(): Promise<string[]> {
  const { data } = await listDeliveries(world.ports, account, { limit: 100, state: undefined, after: undefined });
  return data.map(({ type, state }) => `${type} ${state}`).toSorted();
}

async function cancelled(request: object = {}) {
  const clip = await world.order(account, request);
  await cancelClip(world.ports, account, clip.id);
  return clip;
}

/** As the receiver would, at the time that the test has: the library reads the clock itself. */
function verify(secret: string, post: OutboundPost): unknown {
  vi.useFakeTimers({ now: world.nowMs, toFake: ["Date"] });
  try {
    return new Webhook(secret).verify(post.body, { ...post.headers });
  } finally {
    vi.useRealTimers();
  }
}

function only<T>(items: readonly T[]): T {
  const [item] = items;
  if (item === undefined || items.length !== 1) throw new Error(`one was expected, not ${items.length}`);
  return item;
}

describe("W1: what happened is delivered, or listed as exhausted", () => {
  test("a clip's start and success are told, thin, in its own transaction", async () => {
    const { id, secret } = await endpoint("a.example");
    const claim = await world.finished(account);
    expect(outboxes.woken).toEqual([id, id]);
    expect(await states()).toEqual(["clip.started pending", "clip.succeeded pending"]);
    expect(await deliver(id)).toBeNull();
    expect(await states()).toEqual(["clip.started delivered", "clip.succeeded delivered"]);
    const of = (type: string) => receivers.at("a.example").find(({ body }) => body.includes(`"${type}"`));
    const [started, succeeded] = [of("clip.started"), of("clip.succeeded")];
    if (started === undefined || succeeded === undefined) throw new Error("two were expected");
    const clip = await world.get(account, claim.clip_id);
    expect(verify(secret, started)).toMatchObject({
      type: "clip.started",
      data: { state: "running", finished_at: null },
    });
    expect(verify(secret, succeeded)).toEqual({
      type: "clip.succeeded",
      timestamp: clip.finished_at,
      data: {
        id: clip.id,
        object: "clip",
        path: `/v1/clips/${clip.id}`,
        state: "succeeded",
        model: clip.model,
        price_micros: clip.price_micros,
        charged_micros: clip.price_micros,
        error: null,
        created_at: clip.created_at,
        started_at: clip.started_at,
        finished_at: clip.finished_at,
      },
    });
    expect(succeeded.body).not.toContain("red ball");
    await expectInvariants();
  });

  test("failure, cancellation and expiry are told with their reason", async () => {
    await endpoint("a.example");
    await cancelled();
    await world.order(account, { expires_after: 10 });
    world.advance(10_000);
    await sweep(world.ports);
    await world.order(account);
    const { ref } = await world.start(await world.runner());
    await failAttempt(world.ports, ref, { code: "engine_failed", message: "no", retryable: false });
    expect(await states()).toEqual([
      "clip.cancelled pending",
      "clip.expired pending",
      "clip.failed pending",
      "clip.started pending",
    ]);
    await expectInvariants();
  });

  test.each(["request", "answer"] as const)(
    "a commit whose %s is lost tells exactly what was committed",
    async (loss) => {
      const { id } = await endpoint("a.example");
      const clip = await world.order(account);
      flaky.lose(loss);
      await expect(cancelClip(world.ports, account, clip.id)).rejects.toThrow();
      expect(await states()).toEqual(loss === "request" ? [] : ["clip.cancelled pending"]);
      world.advance(LOST_WAKE_MS);
      await sweep(world.ports);
      expect(outboxes.woken).toEqual(loss === "request" ? [] : [id]);
    },
  );

  test("a wake that is lost at any step is made good by the sweep", async () => {
    const { id } = await endpoint("a.example");
    outboxes.lost = true;
    await world.finished(account);
    outboxes.lost = false;
    expect(outboxes.woken).toEqual([]);
    const next = await sweep(world.ports);
    expect(next).toBeLessThanOrEqual(world.nowMs + LOST_WAKE_MS);
    world.advance(LOST_WAKE_MS);
    await sweep(world.ports);
    expect(outboxes.woken).toEqual([id]);
  });

  test.each(["request", "answer"] as const)(
    "results whose %s is lost are sent again or stand; none is lost",
    async (loss) => {
      const { id } = await endpoint("a.example");
      await cancelled();
      flaky.lose(loss, 1); // what is due is read in a batch of its own
      await expect(deliver(id)).rejects.toThrow();
      await deliver(id);
      expect(await states()).toEqual(["clip.cancelled delivered"]);
      const posts = receivers.at("a.example");
      expect(posts).toHaveLength(loss === "request" ? 2 : 1);
      expect(new Set(posts.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
    },
  );

  test("two Outboxes at once write one result", async () => {
    const { id } = await endpoint("a.example", ["clip.cancelled"]);
    receivers.host("a.example", answering(500));
    await cancelled();
    await Promise.all([deliver(id), deliver(id)]);
    const { data } = await listDeliveries(world.ports, account, { limit: 1, state: undefined, after: undefined });
    expect(only(data)).toMatchObject({ attempts: 1, state: "pending" });
    expect((await listAttempts(world.ports, account, only(data).event_id)).data).toHaveLength(1);
  });

  test("only wanted types are told, and nothing to an endpoint that is disabled", async () => {
    const picky = await endpoint("a.example", ["clip.succeeded"]);
    const off = await endpoint("b.example");
    await changeEndpoint(world.ports, account, off.id, { enabled: false });
    await cancelled();
    expect(await states()).toEqual([]);
    await world.finished(account);
    expect(await states()).toEqual(["clip.succeeded pending"]);
    expect(outboxes.woken).toEqual([picky.id]);
  });

  test("deleting an endpoint lists what waited for it as exhausted", async () => {
    const { id } = await endpoint("a.example");
    await cancelled();
    await removeEndpoint(world.ports, account, id);
    expect(await states()).toEqual(["clip.cancelled exhausted"]);
    expect(await deliver(id)).toBeNull();
    expect(receivers.received).toEqual([]);
  });
});

describe("W2: one id, the same bytes, verifiable by every unexpired secret", () => {
  test("retries and replays carry the id and the bytes of the first attempt", async () => {
    const { id, secret } = await endpoint("a.example");
    receivers.host("a.example", answering(500));
    await cancelled();
    await deliver(id);
    receivers.host("a.example");
    world.advance(6_000);
    await deliver(id);
    const { data } = await listDeliveries(world.ports, account, { limit: 1, state: "delivered", after: undefined });
    world.advance(3_600_000);
    expect(await replayMessage(world.ports, account, only(data).event_id)).toBe(1);
    await deliver(id);
    const posts = receivers.at("a.example");
    expect(posts).toHaveLength(3);
    expect(new Set(posts.map(({ body }) => body)).size).toBe(1);
    expect(new Set(posts.map(({ headers }) => headers["webhook-id"]))).toEqual(new Set([only(data).event_id]));
    const last = posts.at(-1);
    if (last === undefined) throw new Error("there is a last post");
    expect(() => verify(secret, last)).not.toThrow();
  });

  test("while a rotation overlaps both secrets verify, and then only the new one", async () => {
    const { id, secret: old } = await endpoint("a.example");
    const { secret: fresh } = await rotateEndpointSecret(world.ports, account, id, 60_000);
    await cancelled();
    await deliver(id);
    const both = only(receivers.at("a.example"));
    expect(() => verify(old, both)).not.toThrow();
    expect(() => verify(fresh, both)).not.toThrow();
    world.advance(60_000);
    await cancelled();
    await deliver(id);
    const later = receivers.at("a.example")[1];
    if (later === undefined) throw new Error("two were expected");
    expect(() => verify(old, later)).toThrow();
    expect(() => verify(fresh, later)).not.toThrow();
  });

  test("secrets lie sealed, bound to their owner", async () => {
    const a = await endpoint("a.example");
    const b = await endpoint("b.example");
    const { results } = await env.DB.prepare("select owner, sealed from webhook_secrets").all<{
      owner: string;
      sealed: string;
    }>();
    expect(JSON.stringify(results)).not.toContain(a.secret.slice("whsec_".length));
    const sealed = results.find(({ owner }) => owner === a.id)?.sealed ?? "";
    expect(await world.ports.vault.open(sealed, a.id)).toBe(a.secret);
    await expect(world.ports.vault.open(sealed, b.id)).rejects.toThrow();
  });

  test("what a secret that no key opens should have signed goes by the schedule, and holds up nothing", async () => {
    const { id } = await endpoint("a.example");
    await env.DB.prepare("update webhook_secrets set sealed = 'k0.AAAA'").run();
    await cancelled();
    for (let next = await deliver(id); next !== null; next = await deliver(id)) world.nowMs = next;
    expect(receivers.received).toEqual([]);
    expect(await states()).toEqual(["clip.cancelled exhausted"]);
    const { secret } = await rotateEndpointSecret(world.ports, account, id, 60_000);
    await cancelled();
    await deliver(id);
    expect(() => verify(secret, only(receivers.at("a.example")))).not.toThrow();
  });

  test("a clip's own URL is told, signed by the account's secret", async () => {
    receivers.host("own.example");
    await expect(world.order(account, { webhook_url: "https://own.example/x" })).rejects.toThrow(
      "no secret to sign with",
    );
    const { secret } = await rotateSecret(world.ports, account, 0);
    await cancelled({ webhook_url: "https://own.example:8443/x" });
    expect(outboxes.woken).toEqual([`${account}@own.example:8443`]);
    await deliverDue(world.ports, `${account}@own.example:8443` as Lane);
    expect(verify(secret, only(receivers.at("own.example")))).toMatchObject({ type: "clip.cancelled" });
  });
});

describe("W3: when it is tried, and where never", () => {
  test("attempts follow the schedule with at most its jitter, and then the delivery is exhausted", async () => {
    const { id } = await endpoint("a.example");
    receivers.host("a.example", answering(500));
    await cancelled();
    for (const wait of WAITS_MS) {
      const next = (await deliver(id)) ?? Number.NaN;
      expect(next - world.nowMs).toBeGreaterThanOrEqual(wait);
      expect(next - world.nowMs).toBeLessThanOrEqual(wait * (1 + JITTER));
      world.nowMs = next;
    }
    expect(await deliver(id)).toBeNull();
    expect(await states()).toEqual(["clip.cancelled exhausted"]);
    expect(receivers.received).toHaveLength(WAITS_MS.length + 1);
  });

  test("a replay asked for while an attempt is under way begins the schedule anew, whatever that attempt hears", async () => {
    const { id } = await endpoint("a.example");
    receivers.host("a.example", answering(500));
    await cancelled();
    world.nowMs = (await deliver(id)) ?? Number.NaN;
    receivers.host("a.example", async () => {
      await changeEndpoint(world.ports, account, id, { enabled: false });
      await changeEndpoint(world.ports, account, id, { enabled: true });
      const { data } = await listDeliveries(world.ports, account, { limit: 1, state: "exhausted", after: undefined });
      expect(await replayMessage(world.ports, account, only(data).event_id)).toBe(1);
      receivers.host("a.example", answering(500));
      return { status: 500, retryAfter: null, body: "" };
    });
    expect(await deliver(id)).toBe(world.nowMs);
    const [first = Number.NaN] = WAITS_MS;
    expect(((await deliver(id)) ?? Number.NaN) - world.nowMs).toBeLessThanOrEqual(first * (1 + JITTER));
    expect(receivers.received).toHaveLength(3);
  });

  test.each([
    ["120", 120_000],
    [new Date(Date.UTC(2026, 10, 23, 12, 10)).toUTCString(), 600_000],
    ["999999999", 24 * 3_600_000],
  ])("Retry-After %s is honoured and bounded", async (retryAfter, waitMs) => {
    const { id } = await endpoint("a.example");
    receivers.host("a.example", answering(429, retryAfter));
    await cancelled();
    expect(await deliver(id)).toBe(world.nowMs + waitMs);
  });

  test.each([
    ["a redirect to a metadata address", answering(302), "answered 302"],
    ["a broken connection", () => Promise.reject(new Error("10.1.2.3 reset")), "the connection failed"],
    [
      "silence",
      () => Promise.reject(new DOMException("timed out", "TimeoutError")),
      `no complete answer within ${ATTEMPT_TIMEOUT_MS / 1_000} seconds`,
    ],
    ["503", answering(503), "answered 503"],
  ])("%s is a failure that is logged and tried again", async (_, behave, error) => {
    const { id } = await endpoint("a.example");
    receivers.host("a.example", behave);
    await cancelled();
    await deliver(id);
    const { data } = await listDeliveries(world.ports, account, { limit: 1, state: "pending", after: undefined });
    expect(only(data)).toMatchObject({ attempts: 1, last_error: error });
    expect(receivers.received).toHaveLength(1);
  });

  test.each([429, 503])(
    "after a %i with Retry-After nothing else that waits for it is sent before its time",
    async (status) => {
      const { id } = await endpoint("a.example");
      receivers.host("a.example", answering(status, "600"));
      await sendTest(world.ports, account, id);
      await deliver(id);
      receivers.host("a.example", answering(500));
      for (let i = 0; i < 7; i++) await sendTest(world.ports, account, id);
      // Five at once: the two others wait.
      receivers.host("a.example", answering(status, "3600"));
      const next = (await deliver(id)) ?? Number.NaN;
      expect(receivers.received).toHaveLength(1 + 5);
      expect(next).toBeGreaterThanOrEqual(world.nowMs + 3_600_000);
      receivers.host("a.example");
      world.nowMs = next;
      for (let due: number | null = next; due !== null; due = await deliver(id)) world.nowMs = due;
      expect(new Set(await states())).toEqual(new Set(["webhook.test delivered"]));
      expect(receivers.received).toHaveLength(1 + 5 + 8);
    },
  );

  test("410 disables the endpoint, exhausts what waits for it, and tells the others", async () => {
    const gone = await endpoint("gone.example");
    const other = await endpoint("other.example", ["webhook_endpoint.disabled"]);
    receivers.host("gone.example", answering(410));
    await cancelled();
    expect(await deliver(gone.id)).toBeNull();
    expect(await getEndpoint(world.ports, account, gone.id)).toMatchObject({ enabled: false, disabled_reason: "gone" });
    expect(await states()).toEqual(["clip.cancelled exhausted", "webhook_endpoint.disabled pending"]);
    await deliver(other.id);
    expect(verify(other.secret, only(receivers.at("other.example")))).toMatchObject({
      type: "webhook_endpoint.disabled",
      data: { id: gone.id, reason: "gone" },
    });
  });

  test("five days without a success disable it; one success starts them anew", async () => {
    const { id } = await endpoint("a.example");
    receivers.host("a.example", answering(500));
    await sendTest(world.ports, account, id);
    await deliver(id);
    expect((await getEndpoint(world.ports, account, id)).failing_since).not.toBeNull();
    receivers.host("a.example");
    world.advance(FAILING_DISABLES_MS);
    await deliver(id);
    expect(await getEndpoint(world.ports, account, id)).toMatchObject({ enabled: true, failing_since: null });
    receivers.host("a.example", answering(500));
    await sendTest(world.ports, account, id);
    await deliver(id);
    world.advance(FAILING_DISABLES_MS);
    await deliver(id);
    expect(await getEndpoint(world.ports, account, id)).toMatchObject({ enabled: false, disabled_reason: "failing" });
    expect(await states()).toEqual(["webhook.test delivered", "webhook.test exhausted"]);
    // There is no other endpoint to tell of it.
    expect((await listAudit(world.ports, account, { limit: 1 })).data).toMatchObject([
      { actor: "service", action: "webhook_endpoint.disabled", subject: id, detail: { reason: "failing" } },
    ]);
  });

  test("a name that turns private after its endpoint was made is never contacted", async () => {
    const { id } = await endpoint("a.example");
    await cancelled();
    receivers.addresses.set("a.example", ["93.184.215.14", "169.254.169.254"]);
    await deliver(id);
    expect(receivers.received).toEqual([]);
    expect(await states()).toEqual(["clip.cancelled pending"]);
  });
});

test("W4: an endpoint that never answers delays no other", async () => {
  const slow = await endpoint("slow.example");
  const quick = await endpoint("quick.example");
  receivers.host("slow.example", () => new Promise(() => {}));
  await cancelled();
  void deliver(slow.id);
  expect(await deliver(quick.id)).toBeNull();
  expect(receivers.at("quick.example")).toHaveLength(1);
});

test("an attempt that is retried tells its start once", async () => {
  await endpoint("a.example", ["clip.started", "clip.succeeded"]);
  await world.order(account);
  const first = await world.start(await world.runner());
  await failAttempt(world.ports, first.ref, { code: "engine_failed", message: "again", retryable: true });
  const { claim, ref } = await world.start(await world.runner());
  await world.upload(claim);
  await completeAttempt(world.ports, ref, await completion());
  expect(await states()).toEqual(["clip.started pending", "clip.succeeded pending"]);
});

test("an attempt asks for no more time and no more of the answer than its limits", async () => {
  const { id } = await endpoint("a.example");
  await sendTest(world.ports, account, id);
  await deliver(id);
  expect(only(receivers.received)).toMatchObject({ timeoutMs: ATTEMPT_TIMEOUT_MS, answerBytes: 1_024 });
});
