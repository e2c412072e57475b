// M7 once nothing fails any more: what was due was charged, and the ledger has of each payment what Stripe has.
import type { World } from "../world/world.ts";
import { must } from "./violation.ts";

/** The sweep comes within a minute of whatever is due; it has to come twice. */
const LOOK_MS = 65_000;
const LOOKS = 60;
const LATE_MS = 150_000;

export async function judgePaymentsEnd(world: World, tellAll: () => Promise<boolean>, end: () => Promise<void>) {
  const { auditor, schedule, database, stripe } = world;
  if (auditor.history.sizeOf("top_ups") === 0) return;
  const late = () =>
    [...auditor.history.all("auto_top_ups")].filter((row) => {
      const waits = row.state === "due" || row.state === "charging";
      return (
        waits &&
        auditor.history.now("stripe_customers", row.account_id) !== null &&
        row.not_before_ms < schedule.nowMs - LATE_MS
      );
    });
  let told = await tellAll();
  for (let looks = 0; looks < LOOKS && (late().length > 0 || looks < 3); looks++) {
    await schedule.sleep(LOOK_MS);
    told = await tellAll();
  }
  must(late().length === 0, "M7", () => `due, and not charged: ${JSON.stringify(late())}`);
  await end();
  must(told && (await tellAll()), "M7", () => `Stripe could not tell ${JSON.stringify(stripe.untold)}`);
  const rows = database.query<{ reason: string; sum: number }>(
    `select reason, sum(amount_micros) as sum from ledger_entries
      where book = 'available' and kind in ('payment', 'payment_refund', 'dispute') group by reason`,
  );
  const booked = new Map(rows.map(({ reason, sum }) => [reason, sum]));
  for (const { topUpId, amountMicros, paid, refundedMicros, disputedMicros } of stripe.payments.values()) {
    const owed = paid ? amountMicros - refundedMicros - disputedMicros : 0;
    must(
      (booked.get(topUpId) ?? 0) === owed,
      "M7",
      () => `${topUpId} is booked as ${booked.get(topUpId)}, not ${owed}`,
    );
    booked.delete(topUpId);
  }
  must(booked.size === 0, "M7", () => `booked, and Stripe knows nothing of it: ${JSON.stringify([...booked])}`);
}
