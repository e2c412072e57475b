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

test("an event that was committed before the edge was killed is delivered after it is back", async () => {
  const endpoint = await newEndpoint();
  // Holding the answer keeps the delivery between commit and result while the edge is killed.
  behave = () => {};
  received.length = 0;
  const arrived = once(server, "webhook");
  const clip = (await api("POST", "/v1/clips", { model: "turboclip-demo", prompt: "waves" })) as { id: string };
  await api("POST", `/v1/clips/${clip.id}/cancel`);
  await arrived;
  await system.edge.service.kill();
  behave = accept;
  const again = once(server, "webhook");
  await system.restartEdge();
  await again;
  const [first, second] = received;
  if (first === undefined || second === undefined) throw new Error("two were expected");
  expect(second.body).toBe(first.body);
  expect(second.headers["webhook-id"]).toBe(first.headers["webhook-id"]);
  expect(new Webhook(endpoint.secret).verify(second.body, second.headers)).toMatchObject({
    type: "clip.cancelled",
    data: { id: clip.id, state: "cancelled", charged_micros: 0 },
  });
  await firstAttempt(second.headers["webhook-id"] ?? "");
  const page = deliveryPageSchema.parse(await api("GET", "/v1/webhook-deliveries?state=delivered&limit=1"));
  expect(page.data).toMatchObject([{ event_id: second.headers["webhook-id"], attempts: 1, clip_id: clip.id }]);
});
