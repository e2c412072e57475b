// Keeps a lease alive: the first heartbeat acknowledges the claim, later ones go out every `heartbeatMs` and
// as soon as stage or step changes, one at a time. The answers tell when the attempt is not wanted any more.
import type { HeartbeatRequest } from "../../shared/contract/runner.ts";
import type { Logger } from "../log.ts";
import type { Backoff, Clock } from "./clock.ts";
import { type EdgeClient, EdgeError, reasonOf } from "./edge-client.ts";

/** Why an attempt was stopped from the edge's side. */
export class LeaseEnded extends Error {
  readonly why: "cancelled" | "lost";

  constructor(why: "cancelled" | "lost") {
    super(why === "cancelled" ? "the clip was cancelled" : "the lease is lost");
    this.why = why;
  }
}

export interface HeartbeatOptions {
  readonly edge: EdgeClient;
  readonly token: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Between failed tries; never longer than `heartbeatMs`. */
  readonly backoff: Backoff;
  readonly heartbeatMs: number;
  /** Between heartbeats that only bring news; several changes within it go out as one. */
  readonly newsMs: number;
}

export class Heartbeats {
  readonly #options: HeartbeatOptions;
  readonly #ended = new AbortController();
  readonly #stop = new AbortController();
  #beat: HeartbeatRequest = { stage: "load", step: 0, steps: 1 };
  #news = new AbortController();
  #loop: Promise<void> | undefined;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
  }

  /** Aborted, with a LeaseEnded as its reason, when the clip was cancelled or the lease lost. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  start(): void {
    this.#loop = this.#run();
  }

  /** A new stage or step goes out soon, a new fraction with the next heartbeat. */
  report(progress: HeartbeatRequest): void {
    const { stage, step } = this.#beat;
    this.#beat = progress;
    if (progress.stage !== stage || progress.step !== step) this.#news.abort();
  }

  /** Told from elsewhere: an upload or the end was answered with 409. */
  leaseLost(): void {
    this.#end("lost");
  }

  /** Resolves when no heartbeat is in flight any more. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
  }

  #end(why: "cancelled" | "lost"): void {
    this.#ended.abort(new LeaseEnded(why));
    this.#stop.abort();
  }

  async #run(): Promise<void> {
    const { clock, heartbeatMs, newsMs } = this.#options;
    const stopped = this.#stop.signal;
    while (!stopped.aborted) {
      this.#news = new AbortController();
      const failedWaitMs = await this.#send();
      if (failedWaitMs !== undefined) {
        await clock.sleep(Math.min(failedWaitMs, heartbeatMs), stopped);
        continue;
      }
      await clock.sleep(newsMs, stopped);
      await clock.sleep(heartbeatMs - newsMs, AbortSignal.any([stopped, this.#news.signal]));
    }
  }

  /** Undefined when it was answered; else how long to wait before the next try. */
  async #send(): Promise<number | undefined> {
    const { edge, token, backoff, log } = this.#options;
    try {
      const reply = await edge.heartbeat(token, this.#beat, this.#stop.signal);
      backoff.reset();
      if (reply.cancel) this.#end("cancelled");
      return undefined;
    } catch (error) {
      if (this.#stop.signal.aborted) return undefined;
      if (error instanceof EdgeError && error.kind === "lost") {
        this.#end("lost");
        return undefined;
      }
      log.warn({ reason: reasonOf(error) }, "heartbeat failed");
      return backoff.next();
    }
  }
}
