// J8, fair share: within an account's clips of one model and priority (a flow) the first ordered is the first taken,
// and while one of them is next in its flow, no other flow gets more than its share of the model. The bound is that
// of self-clocked fair queueing (Golestani 1994): what another flow gets meanwhile is at most what the waiting clip
// costs, and what those cost that left from before it without being taken, and one clip. Low priority costs ten times.
import type { ClipRow } from "./rows.ts";
import { must } from "./violation.ts";

const LOW_PRIORITY_COST = 10;

interface Waiting {
  readonly order: number;
  readonly row: ClipRow;
  /** Its own cost and that of clips before it that left without being taken: its turn was fixed behind theirs. */
  allowance: number;
}

/** The clip of a flow that is next, and what each other flow got of its model since. */
interface Head {
  readonly id: string;
  readonly got: Map<string, number>;
}

function flowOf(row: ClipRow): string {
  return `${row.account_id} ${row.model} ${row.priority}`;
}

function costOf(row: ClipRow): number {
  return row.price_micros * (row.priority === "low" ? LOW_PRIORITY_COST : 1);
}

export class Turns {
  readonly #waiting = new Map<string, Waiting>();
  readonly #orders = new Map<string, number>();
  readonly #heads = new Map<string, Head>();
  #dearest = 0;

  get queued(): IterableIterator<string> {
    return this.#waiting.keys();
  }

  /** The clip's state after a commit. */
  note(row: ClipRow): void {
    const order = this.#orders.get(row.id) ?? this.#orders.size;
    this.#orders.set(row.id, order);
    const known = this.#waiting.get(row.id);
    if (row.state === "queued") this.#waiting.set(row.id, { order, row, allowance: known?.allowance ?? costOf(row) });
    else if (known !== undefined) this.#leave(known, row.state === "leased");
  }

  #leave(left: Waiting, taken: boolean): void {
    const flow = flowOf(left.row);
    this.#waiting.delete(left.row.id);
    this.#dearest = Math.max(this.#dearest, costOf(left.row));
    if (taken) return;
    const behind = [...this.#waiting.values()].filter(({ row, order }) => flowOf(row) === flow && order > left.order);
    const next = behind.toSorted((a, b) => a.order - b.order)[0];
    if (next === undefined) return;
    next.allowance += left.allowance;
    const head = this.#heads.get(flow);
    if (head?.id === left.row.id) this.#heads.set(flow, { id: next.row.id, got: head.got });
  }

  /** To be called with a clip that is just being taken, while it still counts as waiting. */
  taken(row: ClipRow, nowMs: number): void {
    const heads = this.#headsOf(row.model, nowMs);
    const flow = flowOf(row);
    const first = heads.get(flow)?.row;
    must(first?.id === row.id, "J8", () => `${row.id} was taken before ${first?.id} of its own flow, which was first`);
    const dearest = Math.max(this.#dearest, costOf(row));
    for (const [other, { row: waiting, allowance }] of heads) {
      // One that comes back keeps its turn, and was counted when it was taken first.
      if (other === flow || row.attempt > 0) continue;
      const known = this.#heads.get(other);
      const got = known?.id === waiting.id ? known.got : new Map<string, number>();
      this.#heads.set(other, { id: waiting.id, got });
      const share = (got.get(flow) ?? 0) + costOf(row);
      got.set(flow, share);
      must(share <= allowance + dearest, "J8", () => {
        return `${flow} got ${share} of its model while ${waiting.id} of ${other} was next, with a claim to ${allowance}`;
      });
    }
  }

  /** The next clip of every flow of the model. What expired before it has left, though no sweep has said so yet. */
  #headsOf(model: string, nowMs: number): ReadonlyMap<string, Waiting> {
    const heads = new Map<string, Waiting>();
    const lapsed = new Map<string, number>();
    const inOrder = [...this.#waiting.values()].toSorted((a, b) => a.order - b.order);
    for (const waiting of inOrder) {
      const { row, allowance } = waiting;
      const flow = flowOf(row);
      if (row.model !== model || heads.has(flow)) continue;
      const before = lapsed.get(flow) ?? 0;
      if (row.expires_at_ms <= nowMs) lapsed.set(flow, before + allowance);
      else heads.set(flow, { ...waiting, allowance: allowance + before });
    }
    return heads;
  }
}
