// The whole product under faults: the real worker with its database on disk, real runner processes, a network that
// loses things, and a customer who wants 1,000 clips. Runners are killed, their engines are killed, runners are frozen
// past their lease and thawed, the worker is killed. At the end an auditor of its own reads the database.
//   npm run bench -- soak            (SOAK_CLIPS, SOAK_SEED)
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { TurboclipClient } from "../../client/index.ts";
import { DEMO_MODELS_DIR } from "../../models/demo/shipped.ts";
import { createAccount } from "../../scripts/local/account.ts";
import { type Edge, freePort, startEdge } from "../../scripts/local/edge.ts";
import type { Clip } from "../../shared/contract/clips.ts";
import { percentile, type Result, type Row } from "../table.ts";
import { type Audit, Books, type Held } from "./books.ts";
import { startFaultyProxy } from "./faulty-proxy.ts";
import { Member } from "./fleet.ts";
import { randomOf } from "./random.ts";

const RUNNERS = 2;
const IN_FLIGHT = 8;
const CREDIT_MICROS = 10_000_000;
const CANCELLED_SHARE = 0.05;
const NETWORK = { share: 0.03, delayMs: 2_000 } as const;
/** Mean time between two faults of processes. */
const FAULT_EVERY_MS = 6_000;
/** A tenth to a fifth of the real ones, so that many leases are lost in the time. */
const TIMES = { acknowledgeMs: 3_000, heartbeatMs: 1_000, leaseMs: 6_000, stallMs: 24_000, pollWaitMs: 5_000 } as const;
/** The least that the demo model takes: the soak is about the queue and the money. */
const ORDER = { model: "turboclip-demo", size: "256x192", frames: 5, steps: 1 } as const;

const PROCESS_FAULTS = ["runner killed", "engine killed", "runner frozen past its lease", "worker killed"] as const;
type ProcessFault = (typeof PROCESS_FAULTS)[number];

interface Hit extends Held {
  readonly fault: ProcessFault;
  readonly atMs: number;
}

class Soak {
  readonly #home: string;
  readonly #port: number;
  readonly #random: () => number;
  readonly counts = new Map<ProcessFault, number>();
  /** Attempts that a fault took from their runner. */
  readonly hits: Hit[] = [];
  #edge: Edge;

  private constructor(home: string, port: number, edge: Edge, random: () => number) {
    this.#home = home;
    this.#port = port;
    this.#edge = edge;
    this.#random = random;
  }

  static async start(home: string, random: () => number): Promise<Soak> {
    const port = await freePort();
    return new Soak(home, port, await Soak.#startEdge(home, port), random);
  }

  static #startEdge(home: string, port: number): Promise<Edge> {
    return startEdge({ home, port, vars: { LEASE_TIMES: JSON.stringify(TIMES) } });
  }

  get edge(): Edge {
    return this.#edge;
  }

  /** One fault after another until `over`. */
  async torment(fleet: readonly Member[], books: Books, over: AbortSignal): Promise<void> {
    while (!over.aborted) {
      await delay(-Math.log(1 - this.#random()) * FAULT_EVERY_MS);
      if (over.aborted) return;
      const fault = this.#drawFault();
      const member = fleet[Math.floor(this.#random() * fleet.length)];
      if (member === undefined) throw new Error("a fleet of nobody");
      const held = fault === "worker killed" ? [] : books.heldBy(member.id);
      const atMs = Date.now();
      if (!(await this.#strike(fault, member))) continue;
      this.counts.set(fault, (this.counts.get(fault) ?? 0) + 1);
      this.hits.push(...held.map((what) => ({ ...what, fault, atMs })));
    }
  }

  #drawFault(): ProcessFault {
    const draw = this.#random();
    if (draw < 0.4) return "runner killed";
    if (draw < 0.7) return "engine killed";
    return draw < 0.9 ? "runner frozen past its lease" : "worker killed";
  }

  /** False where there was nothing to strike. */
  async #strike(fault: ProcessFault, member: Member): Promise<boolean> {
    switch (fault) {
      case "runner killed":
        await member.killAndRestart();
        return true;
      case "engine killed":
        return member.killEngine();
      case "runner frozen past its lease":
        await member.freeze(delay(TIMES.leaseMs + 2_000));
        return true;
      case "worker killed":
        await this.#edge.service.kill();
        this.#edge = await Soak.#startEdge(this.#home, this.#port);
        return true;
    }
  }
}

/** Repeats a call that a customer would repeat, with the same key, until it is answered. */
async function insist<T>(call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await call();
    } catch {
      await delay(200);
    }
  }
}

/** Orders one clip and sees it through; a few are cancelled on the way. */
async function orderOne(client: TurboclipClient, number: number, cancelAfterMs: number | null): Promise<Clip> {
  const order = { ...ORDER, prompt: `clip ${number}`, seed: number };
  const created = await insist(() => client.createClip(order, { idempotencyKey: `soak-${number}` }));
  if (cancelAfterMs !== null) {
    await delay(cancelAfterMs);
    // Too late is an answer too.
    await client.cancelClip(created.id).catch(() => null);
  }
  const clip = await insist(() => client.waitForClip(created.id));
  if (clip.state === "succeeded") await insist(() => requireFile(clip));
  return clip;
}

/** A clip that was charged for is there, whole. */
async function requireFile(clip: Clip): Promise<void> {
  const answer = await fetch(clip.output?.mp4.url ?? "", { signal: AbortSignal.timeout(20_000) });
  const bytes = Buffer.from(await answer.arrayBuffer());
  if (bytes.length !== clip.output?.mp4.bytes || bytes.toString("latin1", 4, 8) !== "ftyp") {
    throw new Error(`clip ${clip.id}: ${answer.status}, ${bytes.length} bytes`);
  }
}

function report(audit: Audit, ids: ReadonlySet<string>, clips: number): Row[] {
  const inDatabase = Object.values(audit.states).reduce((sum, n) => sum + n, 0);
  return [
    { what: "clips ordered", measured: String(clips), aim: "" },
    { what: "clips in the database", measured: String(inDatabase), aim: String(clips) },
    { what: "clips that the customer knows", measured: String(ids.size), aim: String(clips) },
    ...Object.entries(audit.findings).map(([what, n]) => ({ what, measured: String(n), aim: "0" })),
    ...Object.entries(audit.states).map(([state, n]) => ({ what: `ended as ${state}`, measured: String(n), aim: "" })),
  ];
}

export async function soak(): Promise<Result> {
  const clips = Number(process.env.SOAK_CLIPS ?? 1_000);
  const seed = Number(process.env.SOAK_SEED ?? 1);
  const home = await mkdtemp(join(tmpdir(), "turboclip-soak-"));
  const system = await Soak.start(home, randomOf(seed));
  const proxy = await startFaultyProxy({ ...NETWORK, target: system.edge.origin, random: randomOf(seed + 1) });
  const over = new AbortController();
  const fleet: Member[] = [];
  const began = performance.now();
  try {
    const { apiKey } = await createAccount(system.edge, "soak", CREDIT_MICROS);
    const options = { edge: system.edge, origin: proxy.origin, home, modelsDir: DEMO_MODELS_DIR, size: RUNNERS };
    for (let i = 0; i < RUNNERS; i += 1) fleet.push(await Member.join(`runner-${i}`, options));
    const client = new TurboclipClient({ origin: proxy.origin, apiKey });
    const books = new Books(home);
    const torment = system.torment(fleet, books, over.signal);
    const random = randomOf(seed + 2);
    const finished: Clip[] = [];
    let next = 0;
    const customer = async () => {
      while (next < clips) {
        const number = next;
        next += 1;
        const cancelAfterMs = random() < CANCELLED_SHARE ? random() * 3_000 : null;
        finished.push(await orderOne(client, number, cancelAfterMs));
        if (finished.length % 50 === 0) process.stderr.write(`soak: ${finished.length} of ${clips}\n`);
      }
    };
    await Promise.all([...Array.from({ length: IN_FLIGHT }, customer)]);
    over.abort();
    await torment;
    const minutes = (performance.now() - began) / 60_000;
    const rows = report(books.audit(), new Set(finished.map(({ id }) => id)), clips);
    const recoveries = system.hits.flatMap((hit) => {
      const again = books.leasedAgainAt(hit);
      return again === null ? [] : [(again - hit.atMs) / 1_000];
    });
    books.close();
    if (recoveries.length > 0) {
      for (const share of [0.5, 0.99]) {
        const seconds = percentile(recoveries, share).toFixed(1);
        rows.push({ what: `fault to the clip's next lease, p${share * 100}`, measured: `${seconds} s`, aim: "" });
      }
    }
    for (const [fault, n] of system.counts) rows.push({ what: fault, measured: `${n} times`, aim: "" });
    for (const [fault, n] of Object.entries(proxy.faults)) {
      rows.push({ what: `network: ${fault}`, measured: `${n} times`, aim: "" });
    }
    return {
      title: "Soak: the product under faults",
      rows,
      notes: [
        `Seed ${seed}, ${RUNNERS} runners, ${IN_FLIGHT} clips in flight, ${minutes.toFixed(1)} minutes. ` +
          `Leases of ${TIMES.leaseMs / 1_000} s instead of 30 s, and the other times to match.`,
        "A fault counts for recovery where it met a runner that held a clip. Every succeeded clip was downloaded.",
      ],
    };
  } finally {
    over.abort();
    await Promise.all(fleet.map((member) => member.kill()));
    await proxy.close();
    await system.edge.service.kill();
    await rm(home, { recursive: true, force: true });
  }
}
