// Tables of benchmarks: what was measured, the figure, and the limit or aim beside it.

export interface Row {
  readonly what: string;
  readonly measured: string;
  readonly aim: string;
}

export interface Result {
  readonly title: string;
  readonly rows: readonly Row[];
  /** How it was measured, a paragraph each. */
  readonly notes: readonly string[];
}

export type Benchmark = () => Promise<Result>;

export function renderTable(rows: readonly Row[]): string {
  const lines = rows.map((row) => `| ${row.what} | ${row.measured} | ${row.aim} |`);
  return ["| what | measured | aim |", "|---|---|---|", ...lines].join("\n");
}

/** The value below which a share of the samples lies (nearest rank). */
export function percentile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const value = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
  if (value === undefined) throw new RangeError("no samples");
  return value;
}
