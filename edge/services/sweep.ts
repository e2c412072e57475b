// All that time does to the service, in bounded batches: one run of the Dispatcher's alarm. Each part reads what
// is due from the database and may die anywhere; the next run goes on from there.
import { forgetDays } from "./accounts/forget-days.ts";
import { forgetChats } from "./chats/retention.ts";
import { expireClips } from "./clips/expire.ts";
import { removeOutputs } from "./files/remove.ts";
import { forgetAnswers } from "./idempotency.ts";
import { forgetBrowserTokens } from "./keys/browser-token.ts";
import { sweepLeases } from "./leases/sweep.ts";
import { tellLowBalances } from "./money/alert.ts";
import { wakeCharges } from "./payments/charge.ts";
import type { Ports } from "./ports.ts";
import { settleEach } from "./settle.ts";
import { forgetTriggerDeliveries } from "./triggers/log.ts";
import { removeUploads } from "./uploads/remove.ts";
import { forgetMessages } from "./webhooks/retention.ts";
import { wakeOverdue } from "./webhooks/wake.ts";

/** In this order: a clip that is taken back may have expired. */
const PARTS = [
  sweepLeases,
  expireClips,
  removeOutputs,
  removeUploads,
  forgetAnswers,
  forgetBrowserTokens,
  tellLowBalances,
  wakeCharges,
  wakeOverdue,
  forgetMessages,
  forgetChats,
  forgetTriggerDeliveries,
  forgetDays,
] as const;

/** Returns when to sweep next, or null when nothing is due to happen. Safe to run at any time, twice, or late. */
export async function sweep(ports: Ports): Promise<number | null> {
  const next: number[] = [];
  await settleEach(PARTS, async (part) => {
    const atMs = await part(ports);
    if (atMs !== null) next.push(atMs);
  });
  return next.length === 0 ? null : Math.min(...next);
}
