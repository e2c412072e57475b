// The Outboxes, one a lane, and the calls that wake them.
import type { Lane } from "../../../db/schema.ts";
import { Outbox } from "../../../edge/durable/outbox.ts";
import type { Outboxes as OutboxesPort } from "../../../edge/services/ports.ts";
import type { Faults } from "../faults.ts";
import type { Random } from "../random.ts";
import { ObjectHost } from "./object-host.ts";
import type { Schedule } from "./schedule.ts";
import type { Trace } from "./trace.ts";

interface Tools {
  readonly schedule: Schedule;
  readonly random: Random;
  readonly faults: Faults;
  readonly trace: Trace;
  readonly env: Env;
  /** Runs the lane's alarm() as an operation of its own. */
  readonly fire: (lane: Lane, alarm: () => Promise<void>) => Promise<"done" | "threw" | "died">;
}

export class Outboxes implements OutboxesPort {
  readonly #tools: Tools;
  readonly #hosts = new Map<Lane, ObjectHost<Outbox>>();

  constructor(tools: Tools) {
    this.#tools = tools;
  }

  /** As edge/platform/objects.ts has it: what gets lost on the way is no error. */
  async wake(lane: Lane): Promise<void> {
    const { schedule, random, faults } = this.#tools;
    await schedule.sleep(random.between(0, 10));
    if (faults.strikes("wake_lost")) return;
    await this.#hostOf(lane)
      .enter(async (outbox) => await outbox.wake(lane))
      .catch(() => {});
  }

  #hostOf(lane: Lane): ObjectHost<Outbox> {
    let host = this.#hosts.get(lane);
    if (host === undefined) {
      host = new ObjectHost<Outbox>({
        ...this.#tools,
        name: `outbox ${lane}`,
        make: (state) => new Outbox(state, this.#tools.env),
        evicted: "outbox_evicted",
        fire: async (alarm) => await this.#tools.fire(lane, alarm),
      });
      this.#hosts.set(lane, host);
    }
    return host;
  }
}
