// Everything of one seed in one place, made in one order.
import type { Times } from "../../../edge/services/ports.ts";
import { Auditor } from "../auditor/auditor.ts";
import type { Violation } from "../auditor/violation.ts";
import { Counters } from "../counters.ts";
import { Faults } from "../faults.ts";
import { Random } from "../random.ts";
import { Bucket } from "./bucket.ts";
import { SimulatedDatabase } from "./database.ts";
import { Edge } from "./edge.ts";
import { bindGlobals } from "./globals.ts";
import { Link, type Traffic } from "./network.ts";
import { currentSkewMs } from "./operation.ts";
import { Receivers } from "./receivers.ts";
import { Schedule } from "./schedule.ts";
import { Stripe } from "./stripe.ts";
import { Trace } from "./trace.ts";

/** The real times, but the long ones short enough for a seed to see their ends. */
function drawTimes(random: Random): Times {
  return {
    pollWaitMs: 25_000,
    acknowledgeMs: 10_000,
    heartbeatMs: 5_000,
    leaseMs: 30_000,
    stallMs: random.pick([40_000, 120_000]),
    uploadUrlMs: random.pick([20_000, 100_000]),
    maxAttempts: random.pick([2, 3]),
    downloadUrlMs: random.pick([60_000, 3_600_000]),
    queuedMs: random.pick([60_000, 86_400_000]),
    outputKeptMs: random.pick([60_000, 240_000]),
    messagesKeptMs: random.pick([120_000, 86_400_000, 20 * 86_400_000]),
    uploadKeptMs: 60_000,
    loadedModelMs: 60_000,
    idempotencyMs: random.pick([60_000, 86_400_000]),
  };
}

export class World {
  readonly random: Random;
  readonly schedule = new Schedule(Date.UTC(2026, 10, 23, 12));
  readonly trace = new Trace(() => this.schedule.nowMs);
  readonly counters = new Counters();
  /** In a few seeds every runner hands back almost everything for a while: no clip may go round for ever. */
  readonly fickle: boolean;
  readonly traffic: Traffic = { underWay: 0 };
  readonly faults: Faults;
  readonly times: Times;
  readonly database: SimulatedDatabase;
  readonly bucket: Bucket;
  readonly receivers: Receivers;
  readonly stripe: Stripe;
  readonly edge: Edge;
  readonly auditor: Auditor;
  #violation: Violation | null = null;

  constructor(seed: number) {
    this.random = new Random(seed);
    const { schedule, trace } = this;
    this.faults = new Faults(this.random.fork(), trace, () => schedule.nowMs);
    this.times = drawTimes(this.random);
    this.fickle = this.random.chance(0.06);
    const shared = { schedule, trace, faults: this.faults };
    this.bucket = new Bucket({
      ...shared,
      random: this.random.fork(),
      counters: this.counters,
      removed: (operation, key) => this.auditor.removed(operation, key),
    });
    this.auditor = new Auditor({
      times: this.times,
      nowMs: () => schedule.nowMs,
      isTimed: (untilMs) => this.edge.dispatcher.isTimed(untilMs),
      stored: (key) => this.bucket.objects.get(key) ?? null,
      counters: this.counters,
      quietSinceMs: () => this.faults.stoppedAtMs,
      found: (violation) => this.report(violation),
    });
    this.receivers = new Receivers({
      ...shared,
      random: this.random.fork(),
      arrived: (operation, post, to) => this.auditor.arrived(operation, post, to),
      heard: (operation, messageId, answer) => this.auditor.heard(operation, messageId, answer),
    });
    this.database = new SimulatedDatabase({
      ...shared,
      random: this.random.fork(),
      committed: (operation, changes) => {
        for (const { text } of changes) trace.write(`  #${operation.id} ${text}`);
        this.auditor.committed(operation, changes);
      },
      aborted: (operation) => this.auditor.aborted(operation),
    });
    this.stripe = new Stripe({
      schedule,
      faults: this.faults,
      random: this.random.fork(),
      charged: (order) => this.auditor.charged(order),
    });
    this.edge = new Edge({
      ...shared,
      random: this.random.fork(),
      d1: this.database.d1,
      bucket: this.bucket,
      receivers: this.receivers,
      stripe: this.stripe,
      times: this.times,
      version: () => this.auditor.history.version,
      ended: (operation, outcome) => this.auditor.ended(operation, outcome),
    });
    bindGlobals({
      schedule,
      now: () => schedule.nowMs + currentSkewMs(),
      logged: (line) => trace.write(`log ${line}`),
    });
  }

  get violation(): Violation | null {
    return this.#violation;
  }

  /** The first one counts: after it nothing means much. */
  report(violation: Violation): void {
    if (this.#violation !== null) return;
    this.#violation = violation;
    this.trace.write(`violation ${violation.message}`);
  }

  link(): Link {
    const { schedule, faults, edge, traffic } = this;
    return new Link({ schedule, faults, edge, traffic, random: this.random.fork() });
  }
}
