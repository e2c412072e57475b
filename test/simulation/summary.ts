// What many seeds come to.
import { SOMETIMES, type Sometimes } from "./counters.ts";
import { FAULTS, type Fault } from "./faults.ts";
import type { SeedResult } from "./result.ts";

export interface Violated {
  readonly seed: number;
  readonly violation: string;
}

export class Summary {
  seeds = 0;
  operations = 0;
  commits = 0;
  simulatedMs = 0;
  fewest = {
    operations: Number.POSITIVE_INFINITY,
    faults: Number.POSITIVE_INFINITY,
    runners: Number.POSITIVE_INFINITY,
  };
  readonly violated: Violated[] = [];
  readonly faults = new Map<Fault, number>(FAULTS.map((fault) => [fault, 0]));
  readonly counters = new Map<Sometimes, number>((Object.keys(SOMETIMES) as Sometimes[]).map((name) => [name, 0]));

  add(result: SeedResult): void {
    const { seed, violation, operations, commits, simulatedMs, runners } = result;
    this.seeds += 1;
    this.operations += operations;
    this.commits += commits;
    this.simulatedMs += simulatedMs;
    if (violation !== null) {
      this.violated.push({ seed, violation });
      return;
    }
    let faults = 0;
    for (const [fault, count] of Object.entries(result.faults) as [Fault, number][]) {
      faults += count;
      this.faults.set(fault, (this.faults.get(fault) ?? 0) + count);
    }
    for (const [name, count] of Object.entries(result.counters) as [Sometimes, number][]) {
      this.counters.set(name, (this.counters.get(name) ?? 0) + count);
    }
    this.fewest = {
      operations: Math.min(this.fewest.operations, operations),
      faults: Math.min(this.fewest.faults, faults),
      runners: Math.min(this.fewest.runners, runners),
    };
  }

  /** Paths and faults that no seed came by. */
  get never(): string[] {
    return [...this.counters, ...this.faults].filter(([, count]) => count === 0).map(([name]) => name);
  }
}
