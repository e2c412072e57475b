// The message `balance.low`: once each time that what can be spent falls below the account's threshold. A trigger in the
// database sees the fall; the sweep writes the message, so that no order waits for it.
import {
  dropThreshold,
  findDueAlerts,
  findThreshold,
  markTold,
  setThreshold,
} from "../../../db/queries/payments/alerts.ts";
import { findLanesOf, insertMessage, wants } from "../../../db/queries/webhooks/deliveries.ts";
import { sqlChanged } from "../../../db/queries/webhooks/guards.ts";
import type { BalanceAlert } from "../../../shared/contract/balance.ts";
import type { AccountId } from "../../../shared/ids.ts";
import { micros } from "../../../shared/pricing.ts";
import { timestamp } from "../clips/view.ts";
import { newIdAt } from "../identifiers.ts";
import type { Ports } from "../ports.ts";
import { settleEach } from "../settle.ts";
import { wakeLanes } from "../webhooks/wake.ts";

const TOLD_PER_SWEEP = 50;

export async function getAlert(ports: Pick<Ports, "db">, accountId: AccountId): Promise<BalanceAlert> {
  return { threshold_micros: (await findThreshold(ports.db, accountId))?.thresholdMicros ?? null };
}

/** The sweep is woken: the balance may be below it already. */
export async function setAlert(
  ports: Pick<Ports, "db" | "bell" | "clock">,
  accountId: AccountId,
  alert: BalanceAlert,
): Promise<BalanceAlert> {
  if (alert.threshold_micros === null) await dropThreshold(ports.db, accountId);
  else await setThreshold(ports.db, accountId, micros(alert.threshold_micros));
  await ports.bell.wakeBy(ports.clock.now());
  return alert;
}

/** Returns now when there may be more, else null: sweeps come at least once a minute while runners poll. */
export async function tellLowBalances(
  ports: Pick<Ports, "db" | "clock" | "random" | "bell" | "outboxes">,
): Promise<number | null> {
  const due = await findDueAlerts(ports.db, TOLD_PER_SWEEP);
  const atMs = ports.clock.now();
  const type = "balance.low";
  await settleEach(due, async ({ accountId, thresholdMicros, availableMicros }) => {
    const id = newIdAt(ports, "event", atMs);
    const data = { object: "balance", available_micros: availableMicros, threshold_micros: thresholdMicros };
    const payload = JSON.stringify({ type, timestamp: timestamp(atMs), data });
    const message = { id, accountId, type, payload, atMs } as const;
    await ports.db.batch([markTold(ports.db, accountId), ...insertMessage(ports.db, message, sqlChanged, wants(type))]);
    await wakeLanes(ports, await findLanesOf(ports.db, [id]));
  });
  return due.length === TOLD_PER_SWEEP ? atMs : null;
}
