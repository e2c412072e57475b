// The example of docs/webhooks.md, held to what it says.
import { Webhook } from "standardwebhooks";
import { expect, test } from "vitest";
import { type ClipEvent, receiveWebhook } from "../../docs/examples/receive-webhook.ts";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OLD_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const BODY = JSON.stringify({
  type: "clip.succeeded",
  timestamp: "2026-11-23T12:00:00.000Z",
  data: { id: "clip_1", path: "/v1/clips/clip_1", state: "succeeded" },
});

function signed(body: string, secrets: readonly string[], id = "evt_1"): Request {
  const now = new Date();
  const headers = {
    "webhook-id": id,
    "webhook-timestamp": String(Math.floor(now.getTime() / 1_000)),
    "webhook-signature": secrets.map((secret) => new Webhook(secret).sign(id, now, body)).join(" "),
  };
  return new Request("https://example.com/hook", { method: "POST", headers, body });
}

test("an event is handled once however often it comes, under the new and the old secret", async () => {
  const handled: ClipEvent[] = [];
  const seen = new Set<string>();
  const handle = async (event: ClipEvent) => void handled.push(event);
  for (const secret of [SECRET, OLD_SECRET]) {
    const answer = await receiveWebhook(signed(BODY, [SECRET, OLD_SECRET]), secret, seen, handle);
    expect(answer.status).toBe(204);
  }
  expect(handled).toEqual([JSON.parse(BODY)]);
});

test("what is not signed by us is refused and not handled", async () => {
  const never = async () => expect.unreachable();
  const forged = await receiveWebhook(signed(BODY, [OLD_SECRET]), SECRET, new Set(), never);
  expect(forged.status).toBe(400);
  const plain = new Request("https://example.com/hook", { method: "POST", body: BODY });
  expect((await receiveWebhook(plain, SECRET, new Set(), never)).status).toBe(400);
});

test("an event whose handling failed is handled when it comes again", async () => {
  const seen = new Set<string>();
  const fail = async () => {
    throw new Error("database is down");
  };
  await expect(receiveWebhook(signed(BODY, [SECRET]), SECRET, seen, fail)).rejects.toThrow("database is down");
  const handled: ClipEvent[] = [];
  await receiveWebhook(signed(BODY, [SECRET]), SECRET, seen, async (event) => void handled.push(event));
  expect(handled).toHaveLength(1);
});
