// What happened, a line each, and one digest of it all: two runs of a seed are the same run if these agree.
import { createHash } from "node:crypto";

export class Trace {
  readonly #lines: string[] = [];
  readonly #nowMs: () => number;
  readonly #startMs: number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
    this.#startMs = nowMs();
  }

  write(line: string): void {
    this.#lines.push(`${this.#nowMs() - this.#startMs} ${line}`);
  }

  get lines(): readonly string[] {
    return this.#lines;
  }

  digest(): string {
    return createHash("sha256").update(this.#lines.join("\n")).digest("hex");
  }
}
