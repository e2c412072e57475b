// One engine's work: ask the edge for a clip, sample it, and ask for the next while this one is encoded and uploaded, or a
// moment before, so that the engine does not wait for the answer. At most one clip is being delivered when the next one
// is asked for: where the network is slower than the engine, finished clips must not pile up, each under a lease.
import type { Claim } from "../../shared/contract/runner.ts";
import { computeSeconds, EngineUse } from "../engine/use.ts";
import { type AttemptEnd, type AttemptTools, beginAttempt, type RunningAttempt } from "./attempt.ts";
import { Backoff } from "./clock.ts";
import { Poller, type PollerTools } from "./poller.ts";

export type LaneTools = PollerTools & AttemptTools;

/** An answer that took longer was a parked poll's: there was no work meanwhile. */
const AT_ONCE_MS = 1_000;

/** Resolves when drained. Throws NotAdmittedError if the very first poll is refused. */
export async function runLane(tools: LaneTools, drain: AbortSignal, release: AbortSignal): Promise<void> {
  const { pollRetryMs, maxPollRetryMs } = tools.runnerTimes;
  const failures = new Backoff(pollRetryMs, maxPollRetryMs, tools.random);
  const asking = new Asking(new Poller(tools, drain), drain);
  const use = new UseLog(tools);
  let delivering: Promise<AttemptEnd | undefined> = Promise.resolve(undefined);
  while (asking.ahead || !drain.aborted) {
    const claim = await asking.claim();
    if (claim === undefined) break;
    use.claimed();
    const running = beginAttempt(tools, claim, release);
    asking.aheadOf(running, delivering);
    let end = await Promise.race([running.sampled.then(use.sampled), running.ended]);
    asking.stopWaitingFor(running);
    if (end === undefined) {
      end = await delivering;
      delivering = running.ended;
    }
    // A host that has gone bad (a full disk, a dying card) must not use up the attempts of the whole queue.
    if (end === "failed") await tools.clock.sleep(failures.next(), drain);
    else if (end === "succeeded") failures.reset();
  }
  await delivering;
}

/** The next claim, asked for once. */
class Asking {
  readonly #poller: Poller;
  readonly #drain: AbortSignal;
  #asked: Promise<Claim | undefined> | undefined;
  #running: RunningAttempt | undefined;

  constructor(poller: Poller, drain: AbortSignal) {
    this.#poller = poller;
    this.#drain = drain;
  }

  /** Whether an answer is on its way. */
  get ahead(): boolean {
    return this.#asked !== undefined;
  }

  async claim(): Promise<Claim | undefined> {
    const asked = this.#asked ?? this.#poller.next();
    this.#asked = undefined;
    return asked;
  }

  /** Asks when the attempt is nearly sampled, if the one before is delivered by then. */
  aheadOf(running: RunningAttempt, delivering: Promise<unknown>): void {
    this.#running = running;
    void Promise.all([running.nearlySampled, delivering]).then(() => {
      if (this.#running !== running || this.#asked !== undefined || this.#drain.aborted) return;
      this.#asked = this.#poller.next();
      this.#asked.catch(() => {}); // whoever awaits the claim hears it
    });
  }

  stopWaitingFor(running: RunningAttempt): void {
    if (this.#running === running) this.#running = undefined;
  }
}

/** Logs with each clip how much of the time in which there was work the engine computed. */
class UseLog {
  readonly #tools: LaneTools;
  readonly #use = new EngineUse();
  #free: number | undefined;
  #began = 0;

  constructor(tools: LaneTools) {
    this.#tools = tools;
  }

  claimed(): void {
    const now = this.#tools.clock.now();
    this.#began = this.#free !== undefined && now - this.#free < AT_ONCE_MS ? this.#free : now;
  }

  readonly sampled = (timings: Parameters<typeof computeSeconds>[0]): undefined => {
    const now = this.#tools.clock.now();
    this.#free = now;
    const { clips, busySeconds, wallSeconds, share } = this.#use.add(
      computeSeconds(timings),
      (now - this.#began) / 1_000,
    );
    const fields = { clips, busy_s: round(busySeconds), wall_s: round(wallSeconds), busy_share: round(share) };
    this.#tools.log.info(fields, "engine use");
  };
}

function round(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}
