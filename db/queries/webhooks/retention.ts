// Messages are kept for a time, with their deliveries and attempts; those of a clip that is erased lose their words at
// once.
import { and, eq, inArray, min, type SQL, sql } from "drizzle-orm";
import type { ClipId } from "../../../shared/ids.ts";
import type { Database } from "../../database.ts";
import { webhookAttempts, webhookDeliveries, webhookMessages } from "../../schema.ts";
import type { Statement } from "../transitions.ts";

/** Drops the oldest messages of that time or before of which no delivery waits; how many there were. */
export async function dropMessages(db: Database, bornByMs: number, limit: number): Promise<number> {
  const waits = sql`exists (select 1 from ${webhookDeliveries}
    where ${webhookDeliveries.messageId} = ${webhookMessages.id} and ${webhookDeliveries.state} = 'pending')`;
  const old = sql`(select ${webhookMessages.id} from ${webhookMessages}
    where ${webhookMessages.createdAtMs} <= ${bornByMs} and not ${waits}
    order by ${webhookMessages.createdAtMs}, ${webhookMessages.id} limit ${limit})`;
  const [, , dropped] = await db.batch([
    db.delete(webhookAttempts).where(sql`${webhookAttempts.messageId} in ${old}`),
    db.delete(webhookDeliveries).where(sql`${webhookDeliveries.messageId} in ${old}`),
    db.delete(webhookMessages).where(sql`${webhookMessages.id} in ${old}`),
  ]);
  return dropped.meta.changes;
}

export async function findOldestMessage(db: Database): Promise<number | null> {
  const row = await db
    .select({ at: min(webhookMessages.createdAtMs) })
    .from(webhookMessages)
    .get();
  return row?.at ?? null;
}

/**
 * Of a clip that is deleted: its messages lose their bodies and what receivers answered, so that no replay brings any of
 * it back. What waits is not sent any more; the deliveries stay listed.
 */
export function eraseMessages(db: Database, clipId: ClipId, deleted: SQL): Statement[] {
  const ids = db.select({ id: webhookMessages.id }).from(webhookMessages).where(eq(webhookMessages.clipId, clipId));
  return [
    db
      .update(webhookMessages)
      .set({ payload: "" })
      .where(and(eq(webhookMessages.clipId, clipId), deleted)),
    db
      .update(webhookAttempts)
      .set({ answer: null })
      .where(and(inArray(webhookAttempts.messageId, ids), deleted)),
    db
      .update(webhookDeliveries)
      .set({ state: "exhausted", lastError: "the clip was deleted" })
      .where(and(inArray(webhookDeliveries.messageId, ids), eq(webhookDeliveries.state, "pending"), deleted)),
  ];
}
