// How long a clip waits for a runner that has nothing to do: from the customer's POST being sent to the
// parked poll's answer being read. The edge is the real Worker under `wrangler dev`; the runner here is only
// its poll, so that no engine time is in the figure.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TurboclipClient } from "../client/index.ts";
import { createAccount } from "../scripts/local/account.ts";
import { freePort, startEdge } from "../scripts/local/edge.ts";
import { makePoller, type Poller } from "./poller.ts";
import { percentile, type Result } from "./table.ts";

const CLIPS = 200;
const WARM_UP = 20;
const ORDER = { model: "turboclip-demo", prompt: "latency" } as const;

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
    const poller = await makePoller(edge, ORDER.model);
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
