// The clock, timers and console of this thread, for code of the edge that takes them from the platform: the
// Dispatcher and its waiters. Each seed brings its own world.
import type { Schedule, Timer } from "./schedule.ts";

interface Binding {
  readonly schedule: Schedule;
  /** What Date.now() says. */
  readonly now: () => number;
  readonly logged: (line: string) => void;
}

let bound: Binding | null = null;

function world(): Binding {
  if (bound === null) throw new Error("no world is bound to this thread");
  return bound;
}

/** From here on the globals of this thread belong to this world. */
export function bindGlobals(binding: Binding): void {
  bound = binding;
  Date.now = () => world().now();
  const setVirtual = (run: () => void, delayMs: number): Timer => world().schedule.after(delayMs, run);
  globalThis.setTimeout = setVirtual as unknown as typeof setTimeout;
  globalThis.clearTimeout = ((timer: Timer) => world().schedule.cancel(timer)) as unknown as typeof clearTimeout;
  for (const level of ["info", "warn", "error"] as const) {
    console[level] = (line: string) => world().logged(line);
  }
}
