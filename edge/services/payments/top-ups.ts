// Top-ups: a page to pay on, and what became of it. Nothing here gives credit; only what Stripe signs does.
import { violatedConstraint } from "../../../db/database.ts";
import { recordAct } from "../../../db/queries/audit.ts";
import {
  findListedTopUp,
  findTopUpByKey,
  findTopUps,
  insertTopUp,
  keepReceipt,
  keepSession,
  type ListedTopUp,
  type TopUpRow,
} from "../../../db/queries/payments/top-ups.ts";
import type { CreateTopUp, ListTopUps, TopUp, TopUpPage } from "../../../shared/contract/payments.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { AccountId, TopUpId } from "../../../shared/ids.ts";
import { micros } from "../../../shared/pricing.ts";
import { type AuditSource, newAct } from "../audit.ts";
import { timestamp } from "../clips/view.ts";
import { newIdAt } from "../identifiers.ts";
import type { Caller } from "../keys/verify.ts";
import type { Payments, Ports } from "../ports.ts";
import { requirePayments } from "./off.ts";

type Source = AuditSource & Pick<Ports, "db" | "payments" | "times">;

/**
 * The row is written before Stripe is asked, and Stripe is asked under its id: a crash or a lost answer between the two
 * is made good by the same request again. Throws idempotency_*, expired or payment_unavailable.
 */
export async function createTopUp(
  ports: Source,
  caller: Caller,
  request: CreateTopUp,
  idempotencyKey: string | null,
): Promise<TopUp> {
  const payments = requirePayments(ports);
  const row = await findOrInsert(ports, caller, request, idempotencyKey);
  if (row.sessionId === null && row.state === "open") await open(ports, payments, row);
  return await getTopUp(ports, caller.accountId, row.id);
}

async function findOrInsert(
  ports: Source,
  { accountId, keyId }: Caller,
  request: CreateTopUp,
  idempotencyKey: string | null,
): Promise<TopUpRow> {
  const before = await findBefore(ports, accountId, request, idempotencyKey);
  if (before !== null) return before;
  const createdAtMs = ports.clock.now();
  const row: TopUpRow = {
    ...{ id: newIdAt(ports, "topUp", createdAtMs), accountId, keyId, amountMicros: micros(request.amount_micros) },
    ...{ successUrl: request.success_url, cancelUrl: request.cancel_url, idempotencyKey, createdAtMs },
    ...{ state: "open", sessionId: null, url: null, receiptUrl: null, auto: false, saveCard: request.save_card },
  };
  const act = { accountId, actor: keyId, action: "top_up.created", subject: row.id } as const;
  const entry = recordAct(ports.db, newAct(ports, { ...act, detail: { amount_micros: request.amount_micros } }));
  try {
    await ports.db.batch([insertTopUp(ports.db, row), entry]);
  } catch (error) {
    if (!violatedConstraint(error)?.includes("top_ups.idempotency_key")) throw error;
    const won = await findBefore(ports, accountId, request, idempotencyKey);
    if (won === null) throw error;
    return won;
  }
  return row;
}

async function findBefore(
  ports: Source,
  accountId: AccountId,
  request: CreateTopUp,
  key: string | null,
): Promise<TopUpRow | null> {
  const row = key === null ? undefined : await findTopUpByKey(ports.db, accountId, key);
  if (row === undefined) return null;
  const { amountMicros, successUrl, cancelUrl, saveCard } = row;
  if (
    saveCard !== request.save_card ||
    amountMicros !== request.amount_micros ||
    successUrl !== request.success_url ||
    cancelUrl !== request.cancel_url
  ) {
    throw new ApiError("idempotency_mismatch", "This Idempotency-Key was used for a request with another body.");
  }
  return row;
}

/** Stripe forgets idempotency keys after a day; asking later could make a second page for one top-up. */
async function open(ports: Source, payments: Payments, row: TopUpRow): Promise<void> {
  if (row.createdAtMs <= ports.clock.now() - ports.times.idempotencyMs) {
    throw new ApiError(
      "expired",
      "This top-up never got a page to pay on; make another, with another Idempotency-Key.",
    );
  }
  const { id: topUpId, accountId, amountMicros, successUrl, cancelUrl, saveCard } = row;
  const session = await payments.openCheckout({ topUpId, accountId, amountMicros, successUrl, cancelUrl, saveCard });
  await keepSession(ports.db, topUpId, session);
}

/** One answer for absent and foreign top-ups alike. The receipt is asked for once it is paid, and then kept. */
export async function getTopUp(
  ports: Pick<Ports, "db" | "payments">,
  accountId: AccountId,
  id: TopUpId,
): Promise<TopUp> {
  const row = await findListedTopUp(ports.db, accountId, id);
  if (row === undefined) throw new ApiError("not_found", "There is no such top-up.");
  if (row.paymentIntent === null || row.receiptUrl !== null || ports.payments === null) return view(row);
  const receiptUrl = await ports.payments.findReceipt(row.paymentIntent);
  if (receiptUrl !== null) await keepReceipt(ports.db, id, receiptUrl);
  return view({ ...row, receiptUrl });
}

/** Newest first. */
export async function listTopUps(
  ports: Pick<Ports, "db">,
  accountId: AccountId,
  { limit, after }: ListTopUps,
): Promise<TopUpPage> {
  const rows = await findTopUps(ports.db, accountId, after ?? null, limit + 1);
  const shown = rows.slice(0, limit);
  return { data: shown.map(view), next: rows.length > limit ? (shown.at(-1)?.id ?? null) : null };
}

function view(row: ListedTopUp): TopUp {
  return {
    id: row.id,
    object: "top_up",
    amount_micros: row.amountMicros,
    state: row.state,
    auto: row.auto,
    url: row.url,
    refunded_micros: row.refundedMicros,
    disputed_micros: row.disputedMicros,
    receipt_url: row.receiptUrl,
    created_at: timestamp(row.createdAtMs),
  };
}
