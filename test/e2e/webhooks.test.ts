// Webhooks from the real Worker to a real server: one that misbehaves in every way first, and an edge that is killed
// between the commit of an event and its delivery.
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Webhook } from "standardwebhooks";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createAccount } from "../../scripts/local/account.ts";
import { attemptListSchema, deliveryPageSchema, issuedEndpointSchema } from "../../shared/contract/webhooks.ts";
import { CREDIT_MICROS, type System, startSystem } from "./support.ts";

type Behave = (request: IncomingMessage, response: ServerResponse) => void;
interface Received {
  readonly headers: Record<string, string>;
  readonly body: string;
}

let system: System;
let apiKey: string;
let server: Server;
let behave: Behave;
const received: Received[] = [];
const accept: Behave = (_, response) => void response.writeHead(204).end();

beforeAll(async () => {
  server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8");
    request.on("data", (chunk: string) => {
      body += chunk;
    });
    request.on("end", () => {
      received.push({ headers: request.headers as Record<string, string>, body });
      server.emit("webhook");
      behave(request, response);
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  system = await startSystem({ WEBHOOK_TRUSTED_HOSTS: "127.0.0.1" });
  ({ apiKey } = await createAccount(system.edge, "customer", CREDIT_MICROS));
});
afterAll(async () => {
  server?.closeAllConnections();
  server?.close();
  await system?.close();
});

async function api(method: string, path: string, body?: unknown): Promise<unknown> {
  const response = await fetch(`${system.edge.origin}${path}`, {
    method,
    headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return await response.json();
}

async function newEndpoint() {
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}/hook`;
  return issuedEndpointSchema.parse(
    await api("POST", "/v1/webhook-endpoints", { url, events: ["clip.cancelled", "webhook.test"] }),
  );
}

/** Asks until the delivery of this event has had an attempt written. */
async function firstAttempt(event: string) {
  for (;;) {
    const { data } = attemptListSchema.parse(await api("GET", `/v1/webhook-deliveries/${event}/attempts`));
    const [attempt] = data;
    if (attempt !== undefined) return attempt;
  }
}

test.each<[string, Behave, object]>([
  ["resets", (request) => void request.socket.resetAndDestroy(), { status: null, error: "the connection failed" }],
  [
    "redirects to a metadata address",
    (_, response) => void response.writeHead(307, { location: "http://169.254.169.254/latest/" }).end(),
    { status: 307, error: "answered 307" },
  ],
  [
    "answers without end",
    (_, response) => {
      response.writeHead(200);
      const pour = () => {
        while (response.write("x".repeat(65_536)));
      };
      response.on("drain", pour);
      pour();
    },
    { status: 200, error: null, answer: "x".repeat(1_024) },
  ],
  [
    "drips",
    (_, response) => {
      response.writeHead(200).write("a");
      const timer = setInterval(() => response.write("a"), 500);
      response.on("close", () => clearInterval(timer));
    },
    { status: null, error: "no complete answer within 15 seconds" },
  ],
  ["never answers", () => {}, { status: null, error: "no complete answer within 15 seconds" }],
  [
    "is busy",
    (_, response) => void response.writeHead(503, { "retry-after": "60" }).end("busy"),
    { status: 503, error: "answered 503", answer: "busy" },
  ],
])("a receiver that %s costs one bounded attempt, and the log says why", async (_, misbehave, expected) => {
  const endpoint = await newEndpoint();
  behave = misbehave;
  const { event_id: event } = (await api("POST", `/v1/webhook-endpoints/${endpoint.id}/test`)) as { event_id: string };
  expect(await firstAttempt(event)).toMatchObject({ endpoint_id: endpoint.id, attempt: 1, ...expected });
  await api("PATCH", `/v1/webhook-endpoints/${endpoint.id}`, { enabled: false });
});

async function cancelledClip(): Promise<string> {
  const clip = (await api("POST", "/v1/clips", { model: "turboclip-demo", prompt: "waves" })) as { id: string };
  await api("POST", `/v1/clips/${clip.id}/cancel`);
  return clip.id;
}

/** Asks until the clip's event is delivered. */
async function delivered(clipId: string) {
  for (;;) {
    const page = deliveryPageSchema.parse(await api("GET", "/v1/webhook-deliveries?state=delivered"));
    const found = page.data.find(({ clip_id }) => clip_id === clipId);
    if (found !== undefined) return found;
  }
}

/** Each resolves when the edge is to die. */
const STEPS: Readonly<Record<string, () => Promise<string>>> = {
  "right after its commit": async () => {
    behave = accept;
    return await cancelledClip();
  },
  "while its receiver works": async () => {
    behave = () => {};
    const arrived = once(server, "webhook");
    const clipId = await cancelledClip();
    await arrived;
    return clipId;
  },
  "right after its receiver has answered": async () => {
    behave = (_, response) => void response.writeHead(204).end(() => server.emit("answered"));
    const answered = once(server, "answered");
    const clipId = await cancelledClip();
    await answered;
    return clipId;
  },
};

test.each(Object.entries(STEPS))(
  "an event arrives, the same each time, though the edge is killed %s",
  async (_, step) => {
    const endpoint = await newEndpoint();
    received.length = 0;
    const clipId = await step();
    await system.edge.service.kill();
    behave = accept;
    await system.restartEdge();
    const delivery = await delivered(clipId);
    const posts = received.filter(({ headers }) => headers["webhook-id"] === delivery.event_id);
    expect(posts.length).toBeGreaterThanOrEqual(1);
    expect(new Set(posts.map(({ body }) => body)).size).toBe(1);
    for (const { body, headers } of posts) {
      expect(new Webhook(endpoint.secret).verify(body, headers)).toMatchObject({
        type: "clip.cancelled",
        data: { id: clipId, state: "cancelled", charged_micros: 0 },
      });
    }
    await api("PATCH", `/v1/webhook-endpoints/${endpoint.id}`, { enabled: false });
  },
);
