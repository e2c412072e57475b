// The vector that Standard Webhooks and Svix publish with their libraries, made once more here from the specification
// alone, so that the library that we sign with is held to it.
import { Webhook } from "standardwebhooks";
import { expect, test } from "vitest";
import { base64, fromBase64 } from "../../../edge/services/encoding.ts";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const SECONDS = 1_614_265_330;
const PAYLOAD = '{"test": 2432232314}';
const SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

test("the library signs the published vector as published", () => {
  expect(new Webhook(SECRET).sign(ID, new Date(SECONDS * 1_000), PAYLOAD)).toBe(SIGNATURE);
});

test("so does HMAC-SHA256 over id, timestamp and payload", async () => {
  const key = fromBase64(SECRET.slice("whsec_".length));
  if (key === null) throw new Error("the secret is base64");
  const imported = await crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const signed = new TextEncoder().encode(`${ID}.${SECONDS}.${PAYLOAD}`);
  expect(`v1,${base64(new Uint8Array(await crypto.subtle.sign("HMAC", imported, signed)))}`).toBe(SIGNATURE);
});

test("a message that is old, of the future, changed or unsigned is refused", () => {
  const webhook = new Webhook(SECRET);
  const now = Date.now();
  const headers = (atMs: number, signature = webhook.sign(ID, new Date(atMs), PAYLOAD)) => ({
    "webhook-id": ID,
    "webhook-timestamp": String(Math.floor(atMs / 1_000)),
    "webhook-signature": signature,
  });
  expect(webhook.verify(PAYLOAD, headers(now))).toEqual({ test: 2432232314 });
  expect(
    webhook.verify(PAYLOAD, headers(now, `v1,bm8= ${webhook.sign(ID, new Date(now), PAYLOAD)} v2,x`)),
  ).toBeTruthy();
  expect(() => webhook.verify(PAYLOAD, headers(now - 301_000))).toThrow();
  expect(() => webhook.verify(PAYLOAD, headers(now + 302_000))).toThrow();
  expect(() => webhook.verify(`${PAYLOAD} `, headers(now))).toThrow();
  expect(() => webhook.verify(PAYLOAD, headers(now, "v1a,x"))).toThrow();
});
