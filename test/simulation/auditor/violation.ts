// What the auditor says when something must not be.
export class Violation extends Error {
  /** As in docs/simulation.md: J jobs, M money, I idempotency and API, R retention, A an answer not allowed. */
  readonly invariant: string;

  constructor(invariant: string, detail: string) {
    super(`${invariant}: ${detail}`);
    this.invariant = invariant;
  }
}

export function must(holds: boolean, invariant: string, detail: () => string): asserts holds {
  if (!holds) throw new Violation(invariant, detail());
}
