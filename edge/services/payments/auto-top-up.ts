// What an account has set about automatic top-ups, and how they stand.
import { recordAct } from "../../../db/queries/audit.ts";
import {
  dropAutoTopUp,
  type FoundAutoTopUp,
  findAutoTopUp,
  putAutoTopUp,
  sumChargedSince,
} from "../../../db/queries/payments/auto.ts";
import type { AutoTopUp, SetAutoTopUp } from "../../../shared/contract/auto-top-up.ts";
import { monthStartMs } from "../../../shared/days.ts";
import type { AccountId } from "../../../shared/ids.ts";
import { micros } from "../../../shared/pricing.ts";
import { type AuditSource, newAct } from "../audit.ts";
import type { Caller } from "../keys/verify.ts";
import type { Ports } from "../ports.ts";
import { chargeLane } from "./charge.ts";
import { requirePayments } from "./off.ts";

type Source = AuditSource & Pick<Ports, "db" | "payments" | "bell" | "outboxes">;

export async function getAutoTopUp(ports: Pick<Ports, "db" | "clock">, accountId: AccountId): Promise<AutoTopUp> {
  const [row, charged] = await Promise.all([
    findAutoTopUp(ports.db, accountId),
    sumChargedSince(ports.db, accountId, monthStartMs(ports.clock.now())),
  ]);
  return {
    object: "auto_top_up",
    state: stateOf(row),
    threshold_micros: row?.thresholdMicros ?? null,
    amount_micros: row?.amountMicros ?? null,
    monthly_cap_micros: row?.monthlyCapMicros ?? null,
    charged_this_month_micros: charged,
    last_error: row?.lastError ?? null,
  };
}

function stateOf(row: FoundAutoTopUp | undefined): AutoTopUp["state"] {
  if (row === undefined) return "off";
  return row.customerId === null && row.state !== "stopped" ? "needs_card" : row.state;
}

/** From now on; a balance below the threshold is topped up at once. Throws not_found where no payments are taken. */
export async function setAutoTopUp(ports: Source, caller: Caller, request: SetAutoTopUp): Promise<AutoTopUp> {
  requirePayments(ports);
  const { accountId, keyId } = caller;
  const settings = {
    ...{ accountId, keyId, thresholdMicros: micros(request.threshold_micros) },
    ...{ amountMicros: micros(request.amount_micros), monthlyCapMicros: micros(request.monthly_cap_micros) },
  };
  await ports.db.batch([putAutoTopUp(ports.db, settings), recordChange(ports, caller, { ...request })]);
  await Promise.all([ports.outboxes.wake(chargeLane(accountId)), ports.bell.wakeBy(ports.clock.now())]);
  return await getAutoTopUp(ports, accountId);
}

/** What Stripe was asked for already is still credited when it is paid. */
export async function endAutoTopUp(ports: Source, caller: Caller): Promise<AutoTopUp> {
  await ports.db.batch([...dropAutoTopUp(ports.db, caller.accountId), recordChange(ports, caller, { state: "off" })]);
  return await getAutoTopUp(ports, caller.accountId);
}

function recordChange(ports: Source, { accountId, keyId }: Caller, detail: Record<string, unknown>) {
  const act = { accountId, actor: keyId, action: "auto_top_up.changed", subject: accountId, detail } as const;
  return recordAct(ports.db, newAct(ports, act));
}
