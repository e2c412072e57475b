// What stops a command from outside: Ctrl-C, a supervisor, a terminal that closes.

/** The first such signal aborts `first`, every later one `second`. */
export function stopSignals(): { readonly first: AbortSignal; readonly second: AbortSignal } {
  const first = new AbortController();
  const second = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => (first.signal.aborted ? second : first).abort());
  }
  return { first: first.signal, second: second.signal };
}
