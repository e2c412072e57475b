// What the edge takes: creates a second and their latency with more and more customers at once, and the time from
// create to lease with more and more runners parked, in an empty database and in one of a hundred thousand clips. The
// edge is the real Worker under `wrangler dev`, runners are their polls alone.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TurboclipClient } from "../client/index.ts";
import { createAccount } from "../scripts/local/account.ts";
import { type Edge, freePort, startEdge } from "../scripts/local/edge.ts";
import { addFinishedClips } from "./past-clips.ts";
import { makePoller, type Poller } from "./poller.ts";
import { percentile, type Result, type Row } from "./table.ts";

const ORDER = { model: "turboclip-demo", prompt: "load" } as const;
const CREDIT_MICROS = 100_000_000;
const UNLIMITED = { quota: 1_000_000, windowS: 60 } as const;
const CREATES = 400;
const CUSTOMERS = [1, 8, 32] as const;
const PARKED = [1, 50, 200] as const;
const LEASES = 60;
const PAST_CLIPS = 100_000;
/** One key orders here what many would: its own rate is not what is measured, and a client waits where it is refused. */
const VARS = { RATE_LIMITS: JSON.stringify({ read: UNLIMITED, write: UNLIMITED }) } as const;

const format = (ms: number) => `${ms.toFixed(1)} ms`;

async function timed<T>(work: () => Promise<T>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

async function measureCreates(client: TurboclipClient, customers: number, where: string): Promise<Row[]> {
  const ids: string[] = [];
  const samples: number[] = [];
  let left = CREATES;
  const customer = async () => {
    while (left > 0) {
      left -= 1;
      samples.push(await timed(async () => ids.push((await client.createClip(ORDER)).id)));
    }
  };
  const whole = await timed(() => Promise.all(Array.from({ length: customers }, customer)));
  for (const id of ids) await client.cancelClip(id);
  const what = `${where}, ${customers} at once`;
  return [
    { what: `${what}: creates a second`, measured: (CREATES / (whole / 1_000)).toFixed(0), aim: "" },
    { what: `${what}: create, p50`, measured: format(percentile(samples, 0.5)), aim: "" },
    { what: `${what}: create, p99`, measured: format(percentile(samples, 0.99)), aim: "" },
  ];
}

/** Runners that stay parked: an edge keeps a poll that went away for a waiter until its time is up. */
class ParkedRunners {
  #claimed: (id: string) => void = () => {};
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** They ask again and again until the edge is gone. */
  add(pollers: readonly Poller[]): void {
    this.#count += pollers.length;
    for (const poller of pollers) void this.#askForever(poller);
  }

  async #askForever(poller: Poller): Promise<void> {
    try {
      for (;;) {
        const id = await poller.poll(); // before the line below looks up who waits for it
        this.#claimed(id);
      }
    } catch {
      // The edge was stopped.
    }
  }

  nextClaim(): Promise<string> {
    return new Promise((resolve) => (this.#claimed = resolve));
  }
}

/** Each clip created is read by one of the parked polls, whose runner then parks again. */
async function measureLeases(client: TurboclipClient, parked: ParkedRunners, where: string): Promise<Row[]> {
  await client.getBalance(); // a round trip after the polls were sent
  const samples: number[] = [];
  for (let i = 0; i < LEASES; i += 1) {
    const claim = parked.nextClaim();
    const began = performance.now();
    const [created, claimed] = await Promise.all([client.createClip(ORDER), claim]);
    samples.push(performance.now() - began);
    if (claimed !== created.id) throw new Error(`leased ${claimed}, created ${created.id}`);
    await client.cancelClip(created.id);
  }
  const what = `${where}, ${parked.count} runners parked: create to lease`;
  return [
    { what: `${what}, p50`, measured: format(percentile(samples, 0.5)), aim: "" },
    { what: `${what}, p99`, measured: format(percentile(samples, 0.99)), aim: "" },
  ];
}

async function measure(edge: Edge, apiKey: string, pollers: readonly Poller[], where: string): Promise<Row[]> {
  const client = new TurboclipClient({ origin: edge.origin, apiKey });
  const rows: Row[] = [];
  const keep = (found: readonly Row[]) => {
    for (const { what, measured } of found) process.stderr.write(`${what}: ${measured}\n`);
    rows.push(...found);
  };
  for (const customers of CUSTOMERS) keep(await measureCreates(client, customers, where));
  const parked = new ParkedRunners();
  for (const count of PARKED) {
    parked.add(pollers.slice(parked.count, count));
    keep(await measureLeases(client, parked, where));
  }
  return rows;
}

export async function queueLoad(): Promise<Result> {
  const home = await mkdtemp(join(tmpdir(), "turboclip-bench-"));
  const port = await freePort();
  let edge = await startEdge({ home, port, vars: VARS });
  try {
    const { apiKey, accountId } = await createAccount(edge, "bench", CREDIT_MICROS);
    const pollers: Poller[] = [];
    for (let i = 0; i < Math.max(...PARKED); i += 1) pollers.push(await makePoller(edge, ORDER.model));
    const rows = await measure(edge, apiKey, pollers, "few clips");
    await edge.service.kill();
    addFinishedClips(home, accountId, PAST_CLIPS);
    edge = await startEdge({ home, port, vars: VARS });
    rows.push(...(await measure(edge, apiKey, pollers, `${PAST_CLIPS} past clips`)));
    return {
      title: "The edge under load",
      rows,
      notes: [
        `${CREATES} creates and ${LEASES} leases a row; worker, database, customers and runners' polls share one machine.`,
      ],
    };
  } finally {
    await edge.service.kill();
    await rm(home, { recursive: true, force: true });
  }
}
