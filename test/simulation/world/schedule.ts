// Virtual time: a queue of things to do, run one after another in the order of their time. Between two of them
// every promise that can go on does, so that the order of everything follows from the queue alone.

interface Event {
  readonly atMs: number;
  /** Ties are broken by the order of scheduling. */
  readonly order: number;
  readonly run: () => void;
  cancelled: boolean;
}

export type Timer = Event;

export class Schedule {
  nowMs: number;
  /** A binary heap. */
  readonly #events: Event[] = [];
  #order = 0;

  constructor(startMs: number) {
    this.nowMs = startMs;
  }

  after(delayMs: number, run: () => void): Timer {
    const event = { atMs: this.nowMs + Math.max(0, delayMs), order: this.#order++, run, cancelled: false };
    this.#push(event);
    return event;
  }

  cancel(timer: Timer): void {
    timer.cancelled = true;
  }

  async sleep(delayMs: number): Promise<void> {
    await new Promise<void>((resolve) => this.after(delayMs, resolve));
  }

  /** Runs until `done` says so or nothing is left; false when `limitMs` of virtual time came first. */
  async runUntil(done: () => boolean, limitMs: number): Promise<boolean> {
    await settle();
    while (!done()) {
      const next = this.#pop();
      if (next === undefined) return done();
      if (next.cancelled) continue;
      if (next.atMs > limitMs) {
        this.#push(next);
        return false;
      }
      this.nowMs = next.atMs;
      next.run();
      await settle();
    }
    return true;
  }

  #push(event: Event): void {
    const heap = this.#events;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const up = (at - 1) >> 1;
      const parent = heap[up];
      if (parent === undefined || !isBefore(event, parent)) break;
      heap[at] = parent;
      at = up;
    }
    heap[at] = event;
  }

  #pop(): Event | undefined {
    const heap = this.#events;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || first === last) return first;
    let at = 0;
    for (;;) {
      const left = heap[2 * at + 1];
      const right = heap[2 * at + 2];
      const child = right !== undefined && left !== undefined && isBefore(right, left) ? 2 * at + 2 : 2 * at + 1;
      const smaller = heap[child];
      if (smaller === undefined || !isBefore(smaller, last)) break;
      heap[at] = smaller;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

/** Resolves when no promise can go on by itself: nothing here waits for anything but promises and the queue. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
