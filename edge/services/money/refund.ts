// Gives a customer back what a clip was charged, or a part of it: once per idempotency key, and never more in all
// than was captured. The hold and the capture stay in the books; the refund compensates them.

import { violatedConstraint } from "../../../db/database.ts";
import { recordAct } from "../../../db/queries/audit.ts";
import { type ClipRow, findClip } from "../../../db/queries/clips.ts";
import { findRefunded, refund } from "../../../db/queries/ledger.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { ClipId } from "../../../shared/ids.ts";
import { type Micros, micros } from "../../../shared/pricing.ts";
import { type AuditSource, newAct } from "../audit.ts";
import { noSuchClip } from "../clips/get.ts";
import { commitOnce, fingerprintOf, type Once, replay } from "../idempotency.ts";
import { newIdAt } from "../identifiers.ts";
import type { Ports } from "../ports.ts";

export interface WantedRefund {
  readonly clipId: ClipId;
  /** null: all that has not been refunded yet. */
  readonly amountMicros: Micros | null;
  readonly reason: string;
  readonly idempotencyKey: string;
}

type Source = AuditSource & Pick<Ports, "db" | "digest" | "times">;

/** Returns the body of the answer: the same bytes for the same key. Throws not_found, not_refundable or idempotency_*. */
export async function refundClip(ports: Source, wanted: WantedRefund): Promise<string> {
  const { clipId, reason, idempotencyKey } = wanted;
  const clip = await findClip(ports.db, clipId);
  if (clip === undefined) throw noSuchClip();
  const once: Once = {
    scope: { accountId: clip.accountId, operation: "refund_clip", key: idempotencyKey },
    fingerprint: await fingerprintOf(ports, { clipId, amountMicros: wanted.amountMicros, reason }),
  };
  const before = await replay(ports, once);
  if (before !== null) return before;
  try {
    return await book(ports, once, clip, await refundable(ports, clip, wanted.amountMicros), reason);
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== "not_refundable") throw error;
    // It may be a twin with this key that has refunded it.
    const won = await replay(ports, once);
    if (won === null) throw error;
    return won;
  }
}

async function book(ports: Source, once: Once, clip: ClipRow, amountMicros: Micros, reason: string): Promise<string> {
  const { id: clipId, accountId, keyId, priceMicros: capturedMicros } = clip;
  const atMs = ports.clock.now();
  const transactionId = newIdAt(ports, "transaction", atMs);
  const answer = JSON.stringify({
    transaction_id: transactionId,
    account_id: accountId,
    clip_id: clipId,
    amount_micros: amountMicros,
  });
  const work = { transactionId, accountId, clipId, keyId, capturedMicros, amountMicros, reason, atMs };
  const act = newAct(ports, {
    accountId,
    actor: "operator",
    action: "clip.refunded",
    subject: clipId,
    detail: { amount_micros: amountMicros, reason, transaction_id: transactionId },
  });
  try {
    return await commitOnce(ports, once, answer, [...refund(ports.db, work), recordAct(ports.db, act)]);
  } catch (error) {
    if (violatedConstraint(error) !== "refund_within_capture") throw error;
    throw tooMuch(clip, await findRefunded(ports.db, clipId), amountMicros);
  }
}

/** The amount to refund; that no other refund takes it meanwhile is for the batch to see. */
async function refundable(ports: Pick<Ports, "db">, clip: ClipRow, amountMicros: Micros | null): Promise<Micros> {
  if (clip.state !== "succeeded") {
    throw new ApiError("not_refundable", `The clip is ${clip.state}; only a clip that succeeded is charged.`);
  }
  if (amountMicros !== null) return amountMicros;
  const refunded = await findRefunded(ports.db, clip.id);
  const rest = clip.priceMicros - refunded;
  if (rest === 0) throw tooMuch(clip, refunded, clip.priceMicros);
  return micros(rest);
}

function tooMuch(clip: ClipRow, refunded: Micros, wanted: Micros): ApiError {
  const detail = `Of the ${clip.priceMicros} micro-dollars charged, ${refunded} are refunded; ${wanted} more would be too much.`;
  return new ApiError("not_refundable", detail);
}
