// How long Discord waits for the acknowledgement of /clip: signed commands at a steady rate, each an order that is
// committed with its reply, while the Outbox edits replies at the double on the same machine. Discord gives three seconds.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createAccount } from "../scripts/local/account.ts";
import { type Edge, freePort, startEdge } from "../scripts/local/edge.ts";
import { type DiscordServer, startDiscord } from "../test/support/discord/server.ts";
import { percentile, type Result } from "./table.ts";

const PER_SECOND = 50;
const SECONDS = 10;
const WARM_UP = 50;

async function post(url: string, headers: Record<string, string>, body: string): Promise<Response> {
  return await fetch(url, { method: "POST", headers: { "content-type": "application/json", ...headers }, body });
}

async function link(edge: Edge, server: DiscordServer): Promise<void> {
  const { accountId } = await createAccount(edge, "bench", 1_000_000);
  const asAdmin = { authorization: `Bearer ${edge.adminToken}` };
  const wanted = JSON.stringify({ name: "links", scopes: ["clips:write", "keys:write"] });
  const issued = await post(`${edge.origin}/admin/v1/accounts/${accountId}/keys`, asAdmin, wanted);
  const { key } = (await issued.json()) as { key: string };
  const asKey = { authorization: `Bearer ${key}` };
  const linked = await post(`${edge.origin}/v1/integrations/links`, asKey, JSON.stringify({ platform: "discord" }));
  const { code } = (await linked.json()) as { code: string };
  const data = { name: "turboclip-link", options: [{ name: "code", value: code }] };
  await tell(edge, server, data, "32", 4);
}

/** Milliseconds until the answer is read. Throws unless it is of the type that is expected. */
async function tell(edge: Edge, { discord }: DiscordServer, data: object, permissions: string, type: number) {
  const { body } = discord.interaction({ type: 2, data, permissions });
  let sentMs = 0;
  const answer = await discord.deliver(body, async (headers, text) => {
    sentMs = performance.now();
    return await post(`${edge.origin}/integrations/discord/interactions`, headers, text);
  });
  const tookMs = performance.now() - sentMs;
  if (answer.type !== type) throw new Error(`a command was answered ${JSON.stringify(answer)}`);
  return tookMs;
}

export async function discordAcknowledgement(): Promise<Result> {
  const home = await mkdtemp(join(tmpdir(), "turboclip-bench-"));
  const server = await startDiscord();
  const edge = await startEdge({ home, port: await freePort(), vars: server.settings });
  try {
    await link(edge, server);
    const options = [
      { name: "prompt", value: "waves at dusk" },
      { name: "model", value: "turboclip-demo" },
    ];
    const order = async () => await tell(edge, server, { name: "clip", options }, "0", 5);
    for (let i = 0; i < WARM_UP; i++) await order();
    const startMs = performance.now();
    const orders: Promise<number>[] = [];
    for (let i = 0; i < PER_SECOND * SECONDS; i++) {
      await sleep(Math.max(0, startMs + (i * 1_000) / PER_SECOND - performance.now()));
      orders.push(order());
    }
    const sentInS = (performance.now() - startMs) / 1_000;
    const samples = await Promise.all(orders);
    const row = (share: number, aim = "") => ({
      what: `acknowledgement of /clip, p${share * 100}`,
      measured: `${percentile(samples, share).toFixed(0)} ms`,
      aim,
    });
    return {
      title: "Acknowledgement of Discord commands",
      rows: [
        { what: "commands a second", measured: (samples.length / sentInS).toFixed(1), aim: String(PER_SECOND) },
        row(0.5),
        row(0.99, "500 ms"),
        row(1, "3000 ms"),
      ],
      notes: [
        `${samples.length} orders of one server over ${SECONDS} s after ${WARM_UP} to warm up, sent at their times whether or ` +
          "not earlier ones were answered. Each answer is checked to be the deferral that only a committed order gets. " +
          "Signing, the double, and the Outbox that edits replies share the machine with the edge under `wrangler dev`.",
      ],
    };
  } finally {
    await edge.service.stop();
    server.close();
    await rm(home, { recursive: true, force: true });
  }
}
