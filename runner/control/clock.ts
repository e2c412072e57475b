// Time as the control process sees it, so that tests can bring their own.
import { setTimeout as delay } from "node:timers/promises";

export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Returns early, without an error, when the signal aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (ms, signal) => delay(ms, undefined, signal === undefined ? {} : { signal }).catch(() => {}),
};

/** Waits that double from `firstMs` to `maxMs`, each between half and all of itself at random. */
export class Backoff {
  readonly #firstMs: number;
  readonly #maxMs: number;
  readonly #random: () => number;
  #failures = 0;

  constructor(firstMs: number, maxMs: number, random: () => number) {
    this.#firstMs = firstMs;
    this.#maxMs = maxMs;
    this.#random = random;
  }

  next(): number {
    const full = Math.min(this.#firstMs * 2 ** this.#failures, this.#maxMs);
    this.#failures = Math.min(this.#failures + 1, 30);
    return full * (0.5 + this.#random() / 2);
  }

  reset(): void {
    this.#failures = 0;
  }
}
