// How a double of another's HTTP API misbehaves as it is told, and how tests wait for what it is asked.

/** `lost`: what was asked for is done, and the answer is a 500. */
export type Fault =
  | { readonly status: 500 | 502 | 503 }
  | { readonly status: 429; readonly retryAfterS: number }
  | "no answer"
  | "lost";

export abstract class FaultyDouble {
  /** What it was asked, refused or not, and each fault in the place of what it took. */
  readonly requests: string[] = [];
  readonly faults: Fault[] = [];
  readonly #waiting = new Set<() => void>();

  protected abstract answer(request: Request): Promise<Response>;
  protected abstract failure(status: number): Response;
  protected abstract limit(retryAfterS: number): Response;

  async handle(request: Request): Promise<Response> {
    const fault = this.faults.shift();
    try {
      if (fault === undefined) return await this.answer(request);
      if (fault === "lost") {
        await this.answer(request);
        return this.failure(500);
      }
      this.requests.push(typeof fault === "string" ? fault : `fault ${fault.status}`);
      if (fault === "no answer") throw new DOMException("timed out", "TimeoutError");
      return fault.status === 429 ? this.limit(fault.retryAfterS) : this.failure(fault.status);
    } finally {
      for (const wake of this.#waiting) wake();
      this.#waiting.clear();
    }
  }

  /** Resolves once `found` finds something, looked at after each request. */
  async until<T>(found: () => T | null | undefined | false): Promise<T> {
    for (;;) {
      const value = found();
      if (value !== null && value !== undefined && value !== false) return value;
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }
}
