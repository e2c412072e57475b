// How long an event waits to be told: from its time, which is taken just before its commit, to the first POST being
// read by the receiver. The edge is the real Worker under `wrangler dev`, the receiver a server on the same machine.
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Webhook } from "standardwebhooks";
import { TurboclipClient } from "../client/index.ts";
import { createAccount } from "../scripts/local/account.ts";
import { freePort, startEdge } from "../scripts/local/edge.ts";
import { issuedEndpointSchema } from "../shared/contract/webhooks.ts";
import { percentile, type Result } from "./table.ts";

const EVENTS = 200;
const WARM_UP = 20;

export async function webhookLatency(): Promise<Result> {
  const home = await mkdtemp(join(tmpdir(), "turboclip-bench-"));
  const receiver = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8");
    request.on("data", (chunk: string) => {
      body += chunk;
    });
    request.on("end", () => {
      receiver.emit("webhook", { atMs: Date.now(), body, headers: request.headers });
      response.writeHead(204).end();
    });
  }).listen(0, "127.0.0.1");
  await once(receiver, "listening");
  const vars = { WEBHOOK_TRUSTED_HOSTS: "127.0.0.1" };
  const edge = await startEdge({ home, port: await freePort(), vars });
  try {
    const { apiKey } = await createAccount(edge, "bench", 1_000_000);
    const client = new TurboclipClient({ origin: edge.origin, apiKey });
    const answer = await fetch(`${edge.origin}/v1/webhook-endpoints`, {
      method: "POST",
      headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
      body: JSON.stringify({ url: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/` }),
    });
    const webhook = new Webhook(issuedEndpointSchema.parse(await answer.json()).secret);
    const samples: number[] = [];
    for (let i = 0; i < WARM_UP + EVENTS; i++) {
      const { id } = await client.createClip({ model: "turboclip-demo", prompt: "latency" });
      const told = once(receiver, "webhook");
      await client.cancelClip(id);
      const [post] = (await told) as [{ atMs: number; body: string; headers: Record<string, string> }];
      const event = webhook.verify(post.body, post.headers) as { timestamp: string; data: { id: string } };
      if (event.data.id !== id) throw new Error(`told of ${event.data.id}, cancelled ${id}`);
      samples.push(post.atMs - Date.parse(event.timestamp));
    }
    const measured = samples.slice(WARM_UP);
    const row = (share: number) => ({
      what: `commit to first attempt read, p${share * 100}`,
      measured: `${percentile(measured, share)} ms`,
      aim: "",
    });
    return {
      title: "Commit to the first attempt of its webhook",
      rows: [row(0.5), row(0.99)],
      notes: [
        `${EVENTS} cancellations one after another after ${WARM_UP} to warm up; every signature is verified. Edge under ` +
          "`wrangler dev` on the same machine; the commit itself is in the figure.",
      ],
    };
  } finally {
    await edge.service.stop();
    receiver.close();
    await rm(home, { recursive: true, force: true });
  }
}
