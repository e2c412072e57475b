// Messages between clients or runners and the edge: each takes its time, in either direction, and may be dropped,
// doubled, or delayed until long after its sender has given up.
import type { Faults } from "../faults.ts";
import type { Random } from "../random.ts";
import type { Edge } from "./edge.ts";
import type { Kind, Outcome, Requests } from "./operation.ts";
import type { Schedule } from "./schedule.ts";

/** What a sender learns; `lost` when nothing came back in time. */
export type Reply<K extends Kind> = Outcome<K> | { readonly kind: "lost" };

interface Tools {
  readonly schedule: Schedule;
  readonly random: Random;
  readonly faults: Faults;
  readonly edge: Edge;
  readonly traffic: Traffic;
}

/** Requests on their way or being handled; polls do not count, since there is always one. */
export interface Traffic {
  underWay: number;
}

const TIMEOUT_MS = 10_000;
const LATENCY_MS = [1, 60] as const;
/** Past acknowledgement and lease. */
const DELAYED_MS = [5_000, 90_000] as const;
const CUT_MS = [3_000, 60_000] as const;

/** One sender's connection. */
export class Link {
  readonly #tools: Tools;
  readonly #cutUntilMs = { requests: 0, answers: 0 };

  constructor(tools: Tools) {
    this.#tools = tools;
  }

  async send<K extends Kind>(kind: K, request: Requests[K], timeoutMs = TIMEOUT_MS): Promise<Reply<K>> {
    const { schedule, random, faults } = this.#tools;
    if (faults.strikes("link_cut")) {
      this.#cutUntilMs[random.pick(["requests", "answers"] as const)] = schedule.nowMs + random.between(...CUT_MS);
    }
    return await new Promise((resolve) => {
      schedule.after(timeoutMs, () => resolve({ kind: "lost" }));
      const copies = faults.strikes("request_duplicated") ? 2 : 1;
      for (let copy = 0; copy < copies; copy++) {
        if (this.#isCut("requests") || faults.strikes("request_dropped")) continue;
        const latencyMs = faults.strikes("request_delayed") ? random.between(...DELAYED_MS) : this.#latency();
        if (kind !== "poll") this.#tools.traffic.underWay += 1;
        schedule.after(latencyMs, () => void this.#deliver(kind, request, resolve));
      }
    });
  }

  async #deliver<K extends Kind>(kind: K, request: Requests[K], resolve: (reply: Reply<K>) => void): Promise<void> {
    const { schedule, faults, edge, traffic } = this.#tools;
    const outcome = await edge.handle(kind, request);
    if (kind !== "poll") traffic.underWay -= 1;
    if (this.#isCut("answers") || faults.strikes("answer_dropped")) return;
    schedule.after(this.#latency(), () => resolve(outcome));
  }

  #isCut(direction: "requests" | "answers"): boolean {
    return !this.#tools.faults.stopped && this.#cutUntilMs[direction] > this.#tools.schedule.nowMs;
  }

  #latency(): number {
    return this.#tools.random.between(...LATENCY_MS);
  }
}
