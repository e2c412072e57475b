// Grants credit to an account, once per idempotency key.

import { findAccount } from "../../../db/queries/accounts.ts";
import { recordAct } from "../../../db/queries/audit.ts";
import { topUp } from "../../../db/queries/ledger.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { AccountId } from "../../../shared/ids.ts";
import type { Micros } from "../../../shared/pricing.ts";
import { type AuditSource, newAct } from "../audit.ts";
import { commitOnce, fingerprintOf, type Once, replay } from "../idempotency.ts";
import { newIdAt } from "../identifiers.ts";
import type { Ports } from "../ports.ts";

export interface Grant {
  readonly accountId: AccountId;
  readonly amountMicros: Micros;
  readonly reason: string;
  readonly idempotencyKey: string;
}

/** Returns the body of the answer: the same bytes for the same key. */
export async function grantCredit(
  ports: AuditSource & Pick<Ports, "db" | "digest" | "times">,
  grant: Grant,
): Promise<string> {
  const { accountId, amountMicros, reason, idempotencyKey } = grant;
  if ((await findAccount(ports.db, accountId)) === undefined)
    throw new ApiError("not_found", "There is no such account.");
  const once: Once = {
    scope: { accountId, operation: "grant_credit", key: idempotencyKey },
    fingerprint: await fingerprintOf(ports, { amountMicros, reason }),
  };
  const before = await replay(ports, once);
  if (before !== null) return before;
  const atMs = ports.clock.now();
  const transactionId = newIdAt(ports, "transaction", atMs);
  const answer = JSON.stringify({ transaction_id: transactionId, account_id: accountId, amount_micros: amountMicros });
  const credit = topUp(ports.db, { transactionId, accountId, amountMicros, reason, atMs });
  const act = newAct(ports, {
    accountId,
    actor: "operator",
    action: "credit.granted",
    subject: transactionId,
    detail: { amount_micros: amountMicros, reason },
  });
  return await commitOnce(ports, once, answer, [...credit, recordAct(ports.db, act)]);
}
