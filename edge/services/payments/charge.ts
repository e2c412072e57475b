// Automatic top-ups: what an account's Outbox does when its balance has fallen below the threshold. The top-up is written
// before Stripe is asked, and Stripe is asked under its id, so that a crash or a lost answer charges once; that it is paid
// only Stripe's signed event says, as for every payment.
import { recordAct } from "../../../db/queries/audit.ts";
import {
  type AutoTopUpRow,
  beginCharge,
  type FoundAutoTopUp,
  findAutoTopUp,
  findDueCharges,
  findNextCharge,
  hasBegun,
  lookAgain,
  putOff,
  stopCharging,
  sumChargedSince,
} from "../../../db/queries/payments/auto.ts";
import { closeTopUp } from "../../../db/queries/payments/facts.ts";
import { findTopUp, type TopUpRow } from "../../../db/queries/payments/top-ups.ts";
import type { Statement } from "../../../db/queries/transitions.ts";
import { findLanesOf, insertMessage, wants } from "../../../db/queries/webhooks/deliveries.ts";
import { sqlChanged } from "../../../db/queries/webhooks/guards.ts";
import type { Lane } from "../../../db/schema.ts";
import { monthStartMs, nextMonthStartMs } from "../../../shared/days.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { AccountId, EventId, TopUpId } from "../../../shared/ids.ts";
import type { Micros } from "../../../shared/pricing.ts";
import { newAct } from "../audit.ts";
import { timestamp } from "../clips/view.ts";
import { HOUSEKEEPING_MS } from "../housekeeping.ts";
import { newIdAt } from "../identifiers.ts";
import type { Payments, Ports } from "../ports.ts";
import { wakeLanes } from "../webhooks/wake.ts";

const LANE_PREFIX = "charge:";
const WOKEN_PER_SWEEP = 50;
const FIRST_RETRY_MS = 5_000;
const MAX_RETRY_MS = 3_600_000;

type Source = Pick<Ports, "db" | "clock" | "random" | "bell" | "outboxes" | "payments" | "times" | "requestId">;

/** What is charged one after the other: one account's card. */
export function chargeLane(accountId: AccountId): Lane {
  return `${LANE_PREFIX}${accountId}` as Lane;
}

/** Whose card the lane charges; undefined for a lane of another kind. */
export function chargedAccount(lane: Lane): AccountId | undefined {
  return lane.startsWith(LANE_PREFIX) ? (lane.slice(LANE_PREFIX.length) as AccountId) : undefined;
}

/** For the sweep: wakes the Outboxes of accounts that are due. Returns when to look again, or null. */
export async function wakeCharges(
  ports: Pick<Ports, "db" | "clock" | "outboxes" | "payments">,
): Promise<number | null> {
  if (ports.payments === null) return null;
  const now = ports.clock.now();
  const due = await findDueCharges(ports.db, now, WOKEN_PER_SWEEP);
  await Promise.all(due.map(async (accountId) => await ports.outboxes.wake(chargeLane(accountId))));
  const next = await findNextCharge(ports.db);
  return next === null ? null : Math.max(next, now + HOUSEKEEPING_MS);
}

/** One step for the account's card. Returns when to look next, or null. Safe to run at any time, twice, or late. */
export async function chargeDue(ports: Source, accountId: AccountId): Promise<number | null> {
  const { payments } = ports;
  if (payments === null) return null;
  const row = await findAutoTopUp(ports.db, accountId);
  if (row === undefined || row.customerId === null || (row.state !== "due" && row.state !== "charging")) return null;
  const now = ports.clock.now();
  if (now < row.notBeforeMs) return row.notBeforeMs;
  const topUp = row.topUpId === null ? await begin(ports, row, now) : await findTopUp(ports.db, row.topUpId);
  if (topUp !== undefined) await ask(ports, payments, topUp, row);
  const after = await findAutoTopUp(ports.db, accountId);
  return after?.state === "due" || after?.state === "charging" ? after.notBeforeMs : null;
}

/** The top-up to charge; undefined where the month's cap has no room for it, or something else came first. */
async function begin(ports: Source, row: FoundAutoTopUp, nowMs: number): Promise<TopUpRow | undefined> {
  const { accountId, amountMicros, monthlyCapMicros } = row;
  const month = monthStartMs(nowMs);
  const charged = await sumChargedSince(ports.db, accountId, month);
  if (charged + amountMicros > monthlyCapMicros) {
    await waitForMonth(ports, row, nowMs);
    return undefined;
  }
  const id = newIdAt(ports, "topUp", nowMs);
  const detail = { amount_micros: amountMicros, auto: true };
  const act = newAct(ports, { accountId, actor: "service", action: "top_up.created", subject: id, detail });
  const charge = { id, createdAtMs: nowMs, monthStartMs: month, notBeforeMs: nowMs + FIRST_RETRY_MS };
  const begun = beginCharge(ports.db, row, charge);
  await ports.db.batch([...begun, recordAct(ports.db, act, hasBegun(id))]);
  return await findTopUp(ports.db, id);
}

async function waitForMonth(ports: Source, row: AutoTopUpRow, nowMs: number): Promise<void> {
  const untilMs = nextMonthStartMs(nowMs);
  const off = putOff(ports.db, row, untilMs, "monthly_cap");
  const told = failureMessage(ports, { ...row, topUpId: null, reason: "monthly_cap" });
  await ports.db.batch([off, ...told.statements]);
  await wakeLanes(ports, await findLanesOf(ports.db, [told.event]));
}

async function ask(
  ports: Source,
  payments: Payments,
  topUp: TopUpRow,
  { customerId, failures }: FoundAutoTopUp,
): Promise<void> {
  const { id: topUpId, accountId, amountMicros, createdAtMs } = topUp;
  // Stripe forgets idempotency keys after a day: asking later could charge twice.
  if (createdAtMs <= ports.clock.now() - ports.times.idempotencyMs) {
    await commitStop(ports, topUp, { reason: "no_answer", as: "expired" });
    return;
  }
  try {
    const order = { topUpId, accountId, amountMicros, customerId: customerId ?? "" };
    const outcome = await payments.chargeCard(order);
    if (outcome.kind === "declined") await commitStop(ports, topUp, { reason: outcome.reason, as: "failed" });
    else await lookAgain(ports.db, topUpId, { notBeforeMs: ports.clock.now() + MAX_RETRY_MS, failures: 0 });
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    const waitMs = Math.min(FIRST_RETRY_MS * 2 ** failures, MAX_RETRY_MS);
    await lookAgain(ports.db, topUpId, { notBeforeMs: ports.clock.now() + waitMs, failures: failures + 1 });
  }
}

interface Stop {
  readonly reason: string;
  readonly as: "failed" | "expired";
}

async function commitStop(ports: Source, topUp: TopUpRow, stop: Stop): Promise<void> {
  const { event, statements } = stopCharge(ports, topUp, stop);
  const [first, ...rest] = statements;
  if (first !== undefined) await ports.db.batch([first, ...rest]);
  await wakeLanes(ports, await findLanesOf(ports.db, [event]));
}

/** That a charge will not be paid: nothing more is charged, and the account's endpoints are told, once. */
export function stopCharge(
  ports: Pick<Ports, "db" | "clock" | "random">,
  { id, accountId, amountMicros }: TopUpRow,
  { reason, as }: Stop,
): { readonly event: EventId; readonly statements: readonly Statement[] } {
  const told = failureMessage(ports, { accountId, amountMicros, topUpId: id, reason });
  const stopped = stopCharging(ports.db, id, reason);
  return { event: told.event, statements: [stopped, ...told.statements, closeTopUp(ports.db, id, null, as)] };
}

interface Failure {
  readonly accountId: AccountId;
  readonly amountMicros: Micros;
  readonly topUpId: TopUpId | null;
  readonly reason: string;
}

/** For right after the statement that writes it down. */
function failureMessage(
  ports: Pick<Ports, "db" | "clock" | "random">,
  { accountId, amountMicros, topUpId, reason }: Failure,
): { readonly event: EventId; readonly statements: readonly Statement[] } {
  const atMs = ports.clock.now();
  const id = newIdAt(ports, "event", atMs);
  const type = "auto_top_up.failed";
  const data = { object: "auto_top_up", top_up_id: topUpId, amount_micros: amountMicros, reason };
  const payload = JSON.stringify({ type, timestamp: timestamp(atMs), data });
  const message = { id, accountId, type, payload, atMs } as const;
  return { event: id, statements: insertMessage(ports.db, message, sqlChanged, wants(type)) };
}
