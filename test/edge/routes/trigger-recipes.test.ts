// The recipes of docs/triggers.md as their senders post them; the GitHub Action is run in test/e2e/triggers.test.ts.
import { Webhook } from "standardwebhooks";
import { beforeEach, describe, expect, it } from "vitest";
import { call, expectProblem } from "../support/http.ts";
import { expectInvariants } from "../support/invariants.ts";
import { newTenant } from "../support/tenant.ts";
import { deliveriesOf, newTrigger, post, postOk } from "../support/triggers.ts";
import { freshDeployment } from "../support/world.ts";

let token: string;
beforeEach(async () => {
  await freshDeployment();
  token = (await newTenant()).key;
});

const promptOf = async (id: string) =>
  ((await (await call("GET", `/v1/clips/${id}`, { token })).json()) as { prompt: string }).prompt;

async function hubSignature(secret: string, body: string): Promise<string> {
  const utf8 = new TextEncoder();
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", utf8.encode(secret), algorithm, false, ["sign"]);
  const bytes = new Uint8Array(await crypto.subtle.sign("HMAC", key, utf8.encode(body)));
  return `sha256=${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

describe("an HTTP step of n8n or Zapier", () => {
  it("posts nested items and gets a clip of them", async () => {
    const { url } = await newTrigger(token, { prompt: "{{ $[0].json['Order Name'] }}, {{ $[0].json.count }} of them" });
    const items = [{ json: { "Order Name": "a paper boat", count: 3 }, pairedItem: { item: 0 } }];
    expect(await promptOf(await postOk(url, items, { "idempotency-key": "231-0" }))).toBe("a paper boat, 3 of them");
  });

  it("posts a form and gets a clip of its fields", async () => {
    const { url } = await newTrigger(token);
    const form = { "content-type": "application/x-www-form-urlencoded" };
    expect(await promptOf(await postOk(url, "name=a+paper+boat&other=1", form))).toBe("confetti over a paper boat");
  });
});

describe("a webhook of GitHub", () => {
  // docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries, "Testing the webhook payload validation"
  const SECRET = "It's a Secret to Everybody";
  const VECTOR = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
  const RELEASE = JSON.stringify({ action: "published", release: { name: "Octocat 2" } });
  const WANTED = {
    prompt: "confetti over {{ $.release.name }}",
    when: { "$.action": "published" },
    signature: { scheme: "github", secret: SECRET },
  };
  const EVENT = { "x-github-event": "release", "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958" };

  it("is taken by the published signature, and only then told that its body is not JSON", async () => {
    const { id, url } = await newTrigger(token, WANTED);
    const signed = { "x-hub-signature-256": VECTOR };
    await expectProblem(await post(url, "Hello, World!", signed), "invalid_request");
    await expectProblem(await post(url, "Hello, World?", signed), "not_found");
    await expectProblem(
      await post(url, "Hello, World!", { "x-hub-signature-256": VECTOR.replace("7571", "7572") }),
      "not_found",
    );
    await expectProblem(await post(url, "Hello, World!"), "not_found");
    expect((await deliveriesOf(token, id)).map(({ code }) => code)).toEqual([
      "unauthenticated",
      "unauthenticated",
      "unauthenticated",
      "invalid_request",
    ]);
  });

  it.each([
    ["application/json", RELEASE],
    ["application/x-www-form-urlencoded", `payload=${encodeURIComponent(RELEASE)}`],
  ])("orders a clip by %s, and not again when it is redelivered", async (type, body) => {
    const { url } = await newTrigger(token, WANTED);
    const headers = { ...EVENT, "content-type": type, "x-hub-signature-256": await hubSignature(SECRET, body) };
    const clip = await postOk(url, body, headers);
    expect(await promptOf(clip)).toBe("confetti over Octocat 2");
    expect(await postOk(url, body, headers)).toBe(clip);
    await expectInvariants();
  });

  it("is answered 200 for its ping, which makes no clip", async () => {
    const { url } = await newTrigger(token, WANTED);
    const ping = JSON.stringify({ zen: "Keep it logically awesome.", hook_id: 1 });
    const answer = await post(url, ping, { ...EVENT, "x-hub-signature-256": await hubSignature(SECRET, ping) });
    expect([answer.status, await answer.json()]).toEqual([200, { clip_id: null }]);
  });

  it("is taken by the old and the new secret while a rotation overlaps, and by the new one alone without", async () => {
    const { id, url } = await newTrigger(token, WANTED);
    const by = async (secret: string) =>
      (await post(url, RELEASE, { "x-hub-signature-256": await hubSignature(secret, RELEASE) })).status;
    const rotate = async (secret: string, more: object = {}) =>
      await call("PATCH", `/v1/triggers/${id}`, { token, body: { signature: { scheme: "github", secret, ...more } } });
    await rotate("a second secret");
    expect([await by(SECRET), await by("a second secret")]).toEqual([202, 202]);
    await rotate("a third secret", { overlap_s: 0 });
    expect([await by(SECRET), await by("a second secret"), await by("a third secret")]).toEqual([404, 404, 202]);
  });
});

describe("a sender by Standard Webhooks", () => {
  const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";
  const BODY = JSON.stringify({ name: "a rocket" });
  const headers = (atMs: number, body = BODY) => ({
    "webhook-id": "msg_1",
    "webhook-timestamp": String(Math.floor(atMs / 1_000)),
    "webhook-signature": `v1,bm8= ${new Webhook(SECRET).sign("msg_1", new Date(atMs), body)}`,
  });

  it("is taken once a message, and not when it is old, of the future or changed", async () => {
    const { url } = await newTrigger(token, { signature: { scheme: "standard-webhooks", secret: SECRET } });
    const now = Date.now();
    const clip = await postOk(url, BODY, headers(now));
    expect(await postOk(url, BODY, headers(now))).toBe(clip);
    await expectProblem(await post(url, BODY, headers(now - 302_000)), "not_found");
    await expectProblem(await post(url, BODY, headers(now + 302_000)), "not_found");
    await expectProblem(await post(url, `${BODY} `, headers(now)), "not_found");
    await expectProblem(await post(url, BODY), "not_found");
  });
});

describe("a sender with a bearer secret", () => {
  it("is taken by it alone", async () => {
    const { url } = await newTrigger(token, { signature: { scheme: "bearer", secret: "a-secret-of-the-sender" } });
    await postOk(url, { name: "x" }, { authorization: "Bearer a-secret-of-the-sender" });
    await expectProblem(await post(url, { name: "x" }, { authorization: "Bearer a-secret-of-another" }), "not_found");
  });
});
