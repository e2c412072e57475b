// M6: what accounts and keys have spent of a day and have in flight, counted from the clips alone.
import type { Commit, History } from "./history.ts";
import { spendName } from "./history.ts";
import { type ClipRow, ENDED } from "./rows.ts";
import { must } from "./violation.ts";

const DAY_MS = 86_400_000;

export class Counts {
  readonly #inFlight = new Map<string, number>();
  readonly #spent = new Map<string, number>();

  /** The counts that the database keeps are these, and no order goes beyond a limit that stood when it was made. */
  judge(commit: Commit, history: History): void {
    for (const { before, after } of commit.clips) {
      if (after === null) continue;
      const isNew = before === null;
      const ends = before !== null && !ENDED.includes(before.state) && ENDED.includes(after.state);
      if (!isNew && !ends) continue;
      this.#count(after, isNew);
      this.#compare(after, history);
      if (isNew) this.#limit(after, history);
    }
  }

  #count(clip: ClipRow, isNew: boolean): void {
    const add = (counts: Map<string, number>, name: string, by: number) =>
      counts.set(name, (counts.get(name) ?? 0) + by);
    add(this.#inFlight, clip.account_id, isNew ? 1 : -1);
    if (!isNew && clip.state === "succeeded") return;
    for (const name of spendersOf(clip)) add(this.#spent, name, isNew ? clip.price_micros : -clip.price_micros);
  }

  #compare(clip: ClipRow, history: History): void {
    const kept = history.now("in_flight", clip.account_id)?.clips;
    const counted = this.#inFlight.get(clip.account_id);
    must(
      kept === counted,
      "M6",
      () => `account ${clip.account_id} has ${counted} clips in flight, and kept is ${kept}`,
    );
    for (const name of spendersOf(clip)) {
      const keptSpent = history.now("daily_spend", name)?.spent_micros;
      const spent = this.#spent.get(name);
      must(keptSpent === spent, "M6", () => `${name} has spent ${spent}, and kept is ${keptSpent}`);
    }
  }

  #limit(clip: ClipRow, history: History): void {
    const account = history.now("accounts", clip.account_id);
    const inFlight = this.#inFlight.get(clip.account_id) ?? 0;
    const allowed = account?.max_in_flight ?? 0;
    must(inFlight <= allowed, "M6", () => `account ${clip.account_id} has ${inFlight} clips in flight of ${allowed}`);
    const caps = [account?.daily_cap_micros, history.now("api_keys", clip.key_id)?.daily_cap_micros];
    for (const [i, name] of spendersOf(clip).entries()) {
      const spent = this.#spent.get(name) ?? 0;
      const cap = caps[i] ?? Number.POSITIVE_INFINITY;
      must(spent <= cap, "M6", () => `${name} has spent ${spent} of ${cap}`);
    }
  }
}

/** The account and the key, on the day of the order. */
function spendersOf(clip: ClipRow): string[] {
  const day = Math.floor(clip.created_at_ms / DAY_MS);
  return [spendName(clip.account_id, day), spendName(clip.key_id, day)];
}
