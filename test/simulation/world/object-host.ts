// What the platform does for a Durable Object: keeps one alive, stores its alarm and what it puts, fires the alarm at
// least once and again when it throws, and now and then drops the object with all that it holds in memory.
import type { Fault, Faults } from "../faults.ts";
import type { Random } from "../random.ts";
import { never } from "./database.ts";
import { currentOperation, type Operation } from "./operation.ts";
import type { Schedule, Timer } from "./schedule.ts";
import type { Trace } from "./trace.ts";

interface Tools<T> {
  /** As the trace calls it. */
  readonly name: string;
  readonly make: (state: DurableObjectState) => T;
  readonly evicted: Fault;
  readonly schedule: Schedule;
  readonly random: Random;
  readonly faults: Faults;
  readonly trace: Trace;
  /** Runs alarm() as an operation of its own. */
  readonly fire: (alarm: () => Promise<void>) => Promise<"done" | "threw" | "died">;
}

const ALARM_RETRY_MS = 2_000;
const LATE_MS = [1_000, 60_000] as const;

/** One life of the object. */
interface Instance<T> {
  readonly object: T;
  readonly inside: Set<Operation>;
}

export class ObjectHost<T extends { alarm: () => Promise<void> }> {
  readonly #tools: Tools<T>;
  readonly #stored = new Map<string, unknown>();
  #instance: Instance<T> | null = null;
  #alarmAtMs: number | null = null;
  #timer: Timer | null = null;
  #firing = 0;
  /** The alarm has come up while the last one still ran: one follows the other. */
  #next = false;

  constructor(tools: Tools<T>) {
    this.#tools = tools;
  }

  /** Whether leases that end at this time are sure to be looked at then: the alarm is set, or it runs just now. */
  isTimed(untilMs: number): boolean {
    return this.#firing > 0 || (this.#alarmAtMs !== null && this.#alarmAtMs <= untilMs);
  }

  /** The object, if one is alive. */
  get object(): T | null {
    return this.#instance?.object ?? null;
  }

  /** Runs the operation inside the object. When the object dies, so does the operation. */
  async enter<R>(run: (object: T) => Promise<R>): Promise<R> {
    const operation = currentOperation();
    if (this.#tools.faults.strikes(this.#tools.evicted)) this.#evict();
    const instance = this.#current();
    instance.inside.add(operation);
    const dieAlone = operation.onDeath;
    operation.onDeath = () => {
      dieAlone();
      if (this.#instance === instance) this.#evict();
    };
    try {
      return await run(instance.object);
    } finally {
      instance.inside.delete(operation);
      operation.onDeath = dieAlone;
    }
  }

  #evict(): void {
    const instance = this.#instance;
    this.#instance = null;
    this.#tools.trace.write(`${this.#tools.name} is gone`);
    for (const operation of instance?.inside ?? []) {
      if (operation.dead) continue;
      operation.dead = true;
      operation.onDeath();
    }
  }

  #current(): Instance<T> {
    const state = { storage: this.#storage() } as unknown as DurableObjectState;
    this.#instance ??= { object: this.#tools.make(state), inside: new Set() };
    return this.#instance;
  }

  /** The object's input gate lets nothing in while storage works, so these take no time. */
  #storage() {
    const guard = async (): Promise<void> => {
      const operation = currentOperation();
      if (operation.dead) return await never();
      if (this.#tools.faults.strikes("alarm_storage_failed")) {
        operation.faults += 1;
        throw new Error("storage operation failed");
      }
    };
    return {
      get: async (key: string) => {
        await guard();
        return this.#stored.get(key);
      },
      put: async (key: string, value: unknown) => {
        await guard();
        this.#stored.set(key, value);
      },
      getAlarm: async () => {
        await guard();
        return this.#alarmAtMs;
      },
      setAlarm: async (atMs: number) => {
        await guard();
        this.#setAlarm(atMs);
      },
    };
  }

  #setAlarm(atMs: number): void {
    const { schedule, faults, random } = this.#tools;
    if (this.#timer !== null) schedule.cancel(this.#timer);
    this.#alarmAtMs = atMs;
    const waitMs = Math.max(0, atMs - schedule.nowMs);
    const late = faults.strikes("alarm_late") ? random.between(...LATE_MS) : 0;
    this.#timer =
      late === 0
        ? schedule.after(waitMs + random.between(0, 5), () => this.#comeUp())
        : schedule.after(waitMs, () => {
            // Set while the platform was troubled, it is late no more if it falls due after that.
            if (faults.stopped) this.#comeUp();
            else this.#timer = schedule.after(late, () => this.#comeUp());
          });
  }

  #comeUp(): void {
    const { schedule, faults, random } = this.#tools;
    this.#timer = null;
    this.#alarmAtMs = null;
    if (this.#firing > 0) this.#next = true;
    else void this.#fire();
    if (faults.strikes("alarm_twice")) schedule.after(random.between(0, 50), () => void this.#fire());
  }

  /** At least once: an alarm that did not end well comes again. */
  async #fire(): Promise<void> {
    this.#firing += 1;
    while ((await this.#tools.fire(async () => await this.enter(async (object) => await object.alarm()))) !== "done") {
      await this.#tools.schedule.sleep(ALARM_RETRY_MS);
    }
    this.#firing -= 1;
    if (!this.#next || this.#firing > 0) return;
    this.#next = false;
    await this.#fire();
  }
}
