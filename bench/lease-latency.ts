// How long a clip waits for a runner that has nothing to do: from the customer's POST being sent to the
// parked poll's answer being read. The edge is the real Worker under `wrangler dev`; the runner here is only
// its poll, so that no engine time is in the figure.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TurboclipClient } from "../client/index.ts";
import { createAccount, createRunner } from "../scripts/local/account.ts";
import { type Edge, freePort, startEdge } from "../scripts/local/edge.ts";
import { claimSchema } from "../shared/contract/runner.ts";
import { percentile, type Result } from "./table.ts";

const CLIPS = 200;
const WARM_UP = 20;
const POLL_WAIT_S = 25;
const ORDER = { model: "turboclip-demo", prompt: "latency" } as const;

interface Poller {
  /** Asks for work and reads the claim's clip id. */
  poll(): Promise<string>;
}

async function makePoller(edge: Edge): Promise<Poller> {
  const runner = await createRunner(edge, "bench");
  return {
    async poll() {
      const answer = await fetch(`${edge.origin}/runner/v1/poll`, {
        method: "POST",
        headers: { authorization: `Bearer ${runner.token}`, "content-type": "application/json" },
        body: JSON.stringify({
          runner_id: runner.runnerId,
          nonce: crypto.randomUUID(),
          models: [ORDER.model],
          loaded_model: ORDER.model,
          version: "0.1.0",
          wait_s: POLL_WAIT_S,
        }),
      });
      if (answer.status !== 200) throw new Error(`poll answered ${answer.status}: ${await answer.text()}`);
      return claimSchema.parse(await answer.json()).clip_id;
    },
  };
}

/** One clip: the poll parks first, then the clip is created, then it is cancelled so that nothing is left. */
async function sample(client: TurboclipClient, poller: Poller): Promise<{ create: number; lease: number }> {
  const claimed = poller.poll().then((id) => ({ id, at: performance.now() }));
  await client.getBalance(); // a round trip after the poll was sent: the poll is parked by now
  const sent = performance.now();
  const created = await client.createClip(ORDER);
  const create = performance.now() - sent;
  const claim = await claimed;
  if (claim.id !== created.id) throw new Error(`leased ${claim.id}, created ${created.id}`);
  await client.cancelClip(created.id);
  return { create, lease: claim.at - sent };
}

export async function leaseLatency(): Promise<Result> {
  const home = await mkdtemp(join(tmpdir(), "turboclip-bench-"));
  const edge = await startEdge({ home, port: await freePort() });
  try {
    const { apiKey } = await createAccount(edge, "bench", 1_000_000);
    const client = new TurboclipClient({ origin: edge.origin, apiKey });
    const poller = await makePoller(edge);
    const samples: Awaited<ReturnType<typeof sample>>[] = [];
    for (let i = 0; i < WARM_UP + CLIPS; i++) samples.push(await sample(client, poller));
    const measured = samples.slice(WARM_UP);
    const row = (what: string, values: readonly number[], share: number, aim = "") => ({
      what: `${what}, p${share * 100}`,
      measured: `${percentile(values, share).toFixed(1)} ms`,
      aim,
    });
    const [leases, creates] = [measured.map((s) => s.lease), measured.map((s) => s.create)];
    return {
      title: "Create to lease, one idle runner",
      rows: [
        row("create sent to lease read", leases, 0.5, "under 50 ms"),
        row("create sent to lease read", leases, 0.99),
        row("create sent to its answer read", creates, 0.5),
        row("create sent to its answer read", creates, 0.99),
      ],
      notes: [
        `${CLIPS} clips one after another after ${WARM_UP} to warm up; edge under \`wrangler dev\` on the same machine.`,
      ],
    };
  } finally {
    await edge.service.stop();
    await rm(home, { recursive: true, force: true });
  }
}
