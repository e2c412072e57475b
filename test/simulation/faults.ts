// What can go wrong, and how often. Each seed draws which faults it has and how hard they strike (swarm testing:
// Groce et al., ISSTA 2012), because a world in which everything fails at once never gets far enough to fail well.
import type { Random } from "./random.ts";
import type { Trace } from "./world/trace.ts";

/** The probability of each fault at one opportunity for it. */
const RATES = {
  // The network between clients or runners and the edge, per message.
  request_dropped: 0.03,
  answer_dropped: 0.04,
  request_duplicated: 0.05,
  request_delayed: 0.03,
  /** One side of a link dies for a while: heartbeats vanish and completions arrive, or the reverse. */
  link_cut: 0.01,
  // The database, per call.
  database_unreachable: 0.008,
  database_answer_lost: 0.02,
  database_slow: 0.01,
  // The edge's own parts.
  /** The isolate dies at one of its awaits: what it committed stays, what it wanted to do next does not happen. */
  edge_killed: 0.008,
  edge_clock_skewed: 0.05,
  ring_lost: 0.1,
  alarm_late: 0.1,
  alarm_twice: 0.1,
  alarm_storage_failed: 0.01,
  dispatcher_evicted: 0.01,
  feed_forgot: 0.03,
  wake_lost: 0.1,
  outbox_evicted: 0.02,
  // Runners, per step of an attempt.
  runner_crashed: 0.02,
  runner_frozen: 0.02,
  engine_hung: 0.02,
  engine_failed: 0.03,
  runner_drained: 0.01,
  /** Broken runners: a completion without its upload, or with another size or checksum than was uploaded. */
  upload_forgotten: 0.02,
  declared_wrongly: 0.05,
  // Clients, per action.
  client_gone: 0.02,
  // The bucket, per PUT or HEAD.
  upload_lost: 0.04,
  upload_partial: 0.03,
  upload_answer_lost: 0.04,
  bucket_unreachable: 0.02,
  bucket_answer_lost: 0.1,
  // Customers' servers, per attempt to deliver a webhook, and their names, per look-up.
  receiver_resets: 0.03,
  receiver_answer_lost: 0.03,
  receiver_silent: 0.02,
  receiver_drips: 0.02,
  receiver_redirects: 0.02,
  receiver_limits: 0.03,
  receiver_unavailable: 0.03,
  receiver_gone: 0.005,
  name_unresolved: 0.02,
  name_turns_private: 0.02,
  // Stripe, per call.
  stripe_unavailable: 0.1,
  /** For minutes, longer than it knows a key in some seeds. */
  stripe_down: 0.15,
  stripe_answer_lost: 0.1,
} as const;

export type Fault = keyof typeof RATES;
export const FAULTS = Object.keys(RATES) as Fault[];

/** Each fault is absent from this share of the seeds. */
const ABSENT = 0.25;
const STRENGTHS = [0.5, 1, 2, 4] as const;

export class Faults {
  readonly struck = new Map<Fault, number>();
  readonly #rates = new Map<Fault, number>();
  readonly #random: Random;
  readonly #trace: Trace;
  readonly #nowMs: () => number;
  #on = false;
  #stoppedAtMs: number | null = null;

  constructor(random: Random, trace: Trace, nowMs: () => number) {
    this.#random = random;
    this.#nowMs = nowMs;
    this.#trace = trace;
    for (const fault of FAULTS) {
      const rate = random.chance(ABSENT) ? 0 : RATES[fault] * random.pick(STRENGTHS);
      this.#rates.set(fault, Math.min(rate, 0.5));
    }
  }

  get total(): number {
    let sum = 0;
    for (const count of this.struck.values()) sum += count;
    return sum;
  }

  /** Whether the fault happens here and now. */
  strikes(fault: Fault): boolean {
    if (!this.#on || !this.#random.chance(this.#rates.get(fault) ?? 0)) return false;
    this.struck.set(fault, (this.struck.get(fault) ?? 0) + 1);
    this.#trace.write(`fault ${fault}`);
    return true;
  }

  /** Until then everything works. */
  begin(): void {
    this.#on = true;
    this.#trace.write("faults begin");
  }

  /** From here on everything works again. */
  stop(): void {
    this.#on = false;
    this.#stoppedAtMs = this.#nowMs();
    this.#trace.write("faults stop");
  }

  /** Null until they are stopped. */
  get stoppedAtMs(): number | null {
    return this.#stoppedAtMs;
  }

  get stopped(): boolean {
    return !this.#on;
  }
}
