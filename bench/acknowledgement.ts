// How long a chat platform waits for the acknowledgement of a command: signed commands at a steady rate, each an order that
// is committed with its reply, while the Outbox delivers to the double on the same machine. Platforms give three seconds.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createAccount } from "../scripts/local/account.ts";
import { type Edge, freePort, startEdge } from "../scripts/local/edge.ts";
import { percentile, type Result } from "./table.ts";

const PER_SECOND = 50;
const SECONDS = 10;
const WARM_UP = 50;

export interface ChatServer {
  /** What the edge must be told to take the double for the platform. */
  readonly settings: Readonly<Record<string, string>>;
  readonly close: () => void;
  /** Redeems the code of a link, as whoever manages the place. */
  link(edge: Edge, issueCode: () => Promise<string>): Promise<void>;
  /** Milliseconds until the answer to one order is read. Throws unless it is what only a committed order gets. */
  order(edge: Edge): Promise<number>;
}

export async function post(url: string, headers: Record<string, string>, body: string): Promise<Response> {
  return await fetch(url, { method: "POST", headers: { "content-type": "application/json", ...headers }, body });
}

async function issueCode(edge: Edge, platform: string): Promise<string> {
  const { accountId } = await createAccount(edge, "bench", 1_000_000);
  const asAdmin = { authorization: `Bearer ${edge.adminToken}` };
  const wanted = JSON.stringify({ name: "links", scopes: ["clips:write", "keys:write"] });
  const issued = await post(`${edge.origin}/admin/v1/accounts/${accountId}/keys`, asAdmin, wanted);
  const { key } = (await issued.json()) as { key: string };
  const asKey = { authorization: `Bearer ${key}` };
  const linked = await post(`${edge.origin}/v1/integrations/links`, asKey, JSON.stringify({ platform }));
  return ((await linked.json()) as { code: string }).code;
}

export async function timeAcknowledgements(platform: "discord" | "slack", server: ChatServer): Promise<Result> {
  const home = await mkdtemp(join(tmpdir(), "turboclip-bench-"));
  const edge = await startEdge({ home, port: await freePort(), vars: server.settings });
  try {
    await server.link(edge, async () => await issueCode(edge, platform));
    for (let i = 0; i < WARM_UP; i++) await server.order(edge);
    const startMs = performance.now();
    const orders: Promise<number>[] = [];
    for (let i = 0; i < PER_SECOND * SECONDS; i++) {
      await sleep(Math.max(0, startMs + (i * 1_000) / PER_SECOND - performance.now()));
      orders.push(server.order(edge));
    }
    const sentInS = (performance.now() - startMs) / 1_000;
    const samples = await Promise.all(orders);
    const row = (share: number, aim = "") => ({
      what: `acknowledgement of /clip, p${share * 100}`,
      measured: `${percentile(samples, share).toFixed(0)} ms`,
      aim,
    });
    return {
      title: `Acknowledgement of ${platform === "discord" ? "Discord" : "Slack"} commands`,
      rows: [
        { what: "commands a second", measured: (samples.length / sentInS).toFixed(1), aim: String(PER_SECOND) },
        row(0.5),
        row(0.99, "500 ms"),
        row(1, "3000 ms"),
      ],
      notes: [
        `${samples.length} orders of one place over ${SECONDS} s after ${WARM_UP} to warm up, sent at their times whether or ` +
          "not earlier ones were answered. Each answer is checked to be the one that only a committed order gets. " +
          "Signing, the double, and the Outbox that delivers replies share the machine with the edge under `wrangler dev`.",
      ],
    };
  } finally {
    await edge.service.stop();
    server.close();
    await rm(home, { recursive: true, force: true });
  }
}
