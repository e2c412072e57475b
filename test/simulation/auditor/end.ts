// What must hold once nothing fails any more (J7, I2, R1), and the books read once more from the database itself.
import type { World } from "../world/world.ts";
import { ENDED } from "./rows.ts";
import { must } from "./violation.ts";

/** What one attempt takes at the most when nothing fails: the engine's stages, the uploads, the calls. */
const ATTEMPT_MS = 120_000;
const LOOK_EVERY_MS = 1_000;
/** How much later than due the sweep may come. */
const TIDIED_WITHIN_MS = 130_000;

export async function judgeEnd(world: World, everybodyKnows: boolean, windUp: () => Promise<void>): Promise<void> {
  must(everybodyKnows, "I2", () => "a client could not learn what became of its request by repeating it");
  await everyClipEnds(world);
  await windUp();
  const waiting = (await world.edge.dispatcher.object?.waiting()) ?? 0;
  must(waiting === 0, "J7", () => `${waiting} polls are parked and nobody waits for them`);
  judgeMoney(world);
  judgeOutputs(world);
  await everythingIsTidied(world);
}

/** J7: within the attempts' time for every clip that is left, one after another, and what faults had begun. */
async function everyClipEnds({ auditor, schedule, times }: World): Promise<void> {
  const live = () => [...auditor.history.all("clips")].filter(({ state }) => !ENDED.includes(state));
  const oneClipMs = times.maxAttempts * (times.leaseMs + times.stallMs + ATTEMPT_MS);
  const deadlineMs = schedule.nowMs + (1 + live().length) * oneClipMs;
  while (live().length > 0 && schedule.nowMs < deadlineMs) await schedule.sleep(LOOK_EVERY_MS);
  const left = live();
  must(left.length === 0, "J7", () => `still alive: ${left.map(({ id, state }) => `${id} ${state}`).join(", ")}`);
}

/** M3 to M5, from the database and not from the auditor's memory. */
function judgeMoney({ auditor, database }: World): void {
  const one = (sql: string) => Object.values(database.query<Record<string, number>>(sql)[0] ?? {})[0] ?? 0;
  must(
    one("select coalesce(sum(amount_micros), 0) from ledger_entries") === 0,
    "M1",
    () => "the ledger does not sum to 0",
  );
  must(one("select coalesce(sum(pending_micros), 0) from balances") === 0, "M3", () => "a hold outlived its clip");
  const wrong = one(`select count(*) from balances b where posted_micros <> (select coalesce(sum(amount_micros), 0)
    from ledger_entries l where l.account_id = b.account_id and book in ('available', 'held'))`);
  must(wrong === 0, "M5", () => `${wrong} balances are not the fold of their ledger`);
  must(database.query("pragma foreign_key_check").length === 0, "M5", () => "rows refer to rows that are not there");
  for (const { id, state } of auditor.history.all("clips")) {
    const booked = auditor.accountant.bookedFor(id);
    const right = state === "succeeded" ? "hold, capture" : "hold, release";
    must(
      booked.filter((kind) => kind !== "refund").join(", ") === right,
      "M4",
      () => `clip ${id} ${state}, and booked were: ${booked.join(", ")}`,
    );
  }
}

/** R1 and I1: past their time neither bytes nor kept answers are left, and nobody had to ask for that. */
async function everythingIsTidied({ auditor, bucket, schedule, times, random }: World): Promise<void> {
  const keptMs = Math.max(times.outputKeptMs, 2 * times.uploadUrlMs) + TIDIED_WITHIN_MS;
  await schedule.sleep(keptMs);
  const left = [...bucket.objects.keys()];
  must(left.length === 0, "R1", () => `left in the bucket: ${left.join(", ")}`);
  const due = [...auditor.history.all("output_removals")];
  must(due.length === 0, "R1", () => `still to be removed: ${JSON.stringify(due)}`);
  if (times.idempotencyMs > keptMs && !random.chance(0.05)) return;
  await schedule.sleep(times.idempotencyMs);
  const answers = [...auditor.history.all("idempotency_keys")];
  must(answers.length === 0, "I1", () => `answers are kept past their time: ${JSON.stringify(answers)}`);
}

/** R1: nothing that is still offered is missing. */
function judgeOutputs({ auditor, bucket, schedule }: World): void {
  for (const { id, outputs, output_expires_at_ms: expiresAtMs } of auditor.history.all("clips")) {
    if (outputs === null || (expiresAtMs ?? 0) <= schedule.nowMs) continue;
    for (const { key } of Object.values(JSON.parse(outputs) as Record<string, { key: string }>)) {
      must(bucket.objects.has(key), "R1", () => `clip ${id} offers ${key}, which is not there`);
    }
  }
}
