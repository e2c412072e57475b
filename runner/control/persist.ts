// Calls that must get through: repeated while the edge is away or unwell, until an answer that stands.
import type { Logger } from "../log.ts";
import type { Backoff, Clock } from "./clock.ts";
import { EdgeError } from "./edge-client.ts";

export interface Persistence {
  readonly clock: Clock;
  readonly backoff: Backoff;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** After this long the last error is thrown: by then the lease has been given to another. */
  readonly giveUpMs: number;
}

/** Throws what is not transient at once, and the signal's reason when it aborts. */
export async function persist<T>(
  what: string,
  { clock, backoff, log, signal, giveUpMs }: Persistence,
  call: () => Promise<T>,
): Promise<T> {
  const deadline = clock.now() + giveUpMs;
  for (;;) {
    signal.throwIfAborted();
    try {
      const answer = await call();
      backoff.reset();
      return answer;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof EdgeError) || !error.transient || clock.now() >= deadline) throw error;
      const waitMs = backoff.next();
      log.warn({ reason: error.message, waitMs: Math.round(waitMs) }, `${what} failed; trying again`);
      await clock.sleep(waitMs, signal);
    }
  }
}
