// The polls that are parked, and which of them a ring wakes. A waiter stands in the list from before it first
// reads the database until it leaves: a clip that is queued after that read finds it here and rings it.

export interface WaiterRequest {
  readonly runnerId: string;
  readonly nonce: string;
  readonly models: readonly string[];
  readonly loadedModel: string | null;
}

export type Wake = "rung" | "displaced" | "timeout";

export interface Waiter extends WaiterRequest {
  /** A ring that has not been answered by a look at the database yet: the model that was rung for. */
  rungFor: string | null;
  displaced: boolean;
  wake: (() => void) | null;
}

export class Waiters {
  /** In the order of arrival: the longest waiting is woken first. */
  readonly #waiters = new Set<Waiter>();

  get size(): number {
    return this.#waiters.size;
  }

  /** A poll with the same nonce is the same runner asking again: the older one's client is gone. */
  enter(request: WaiterRequest): Waiter {
    this.#displace((other) => other.runnerId === request.runnerId && other.nonce === request.nonce);
    const waiter: Waiter = { ...request, rungFor: null, displaced: false, wake: null };
    this.#waiters.add(waiter);
    return waiter;
  }

  /** The runner is to take no more clips: all its polls end. */
  dismiss(runnerId: string): void {
    this.#displace((other) => other.runnerId === runnerId);
  }

  #displace(isMeant: (waiter: Waiter) => boolean): void {
    for (const waiter of this.#waiters) {
      if (!isMeant(waiter)) continue;
      waiter.displaced = true;
      waiter.wake?.();
    }
  }

  /** A ring that the leaving waiter did not answer goes to the next one: no clip waits because a poll ended. */
  leave(waiter: Waiter): void {
    this.#waiters.delete(waiter);
    if (waiter.rungFor !== null) this.ring(waiter.rungFor);
  }

  /** Wakes one waiter for one clip, preferably one that has the model loaded. False when none can take it. */
  ring(model: string): boolean {
    let chosen: Waiter | undefined;
    for (const waiter of this.#waiters) {
      if (waiter.rungFor !== null || waiter.displaced || !waiter.models.includes(model)) continue;
      chosen ??= waiter;
      if (waiter.loadedModel !== model) continue;
      chosen = waiter;
      break;
    }
    if (chosen === undefined) return false;
    chosen.rungFor = model;
    chosen.wake?.();
    return true;
  }

  /** To be called right before the waiter reads the database: that read answers the ring. */
  answer(waiter: Waiter): void {
    waiter.rungFor = null;
  }

  /** Parks until rung, displaced or `waitMs` have passed, whichever is first. */
  async park(waiter: Waiter, waitMs: number): Promise<Wake> {
    if (waiter.rungFor === null && !waiter.displaced && waitMs > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, waitMs);
        waiter.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      waiter.wake = null;
    }
    if (waiter.displaced) return "displaced";
    return waiter.rungFor === null ? "timeout" : "rung";
  }
}
