// What is erased when a clip is deleted: everything that its prompt, its picture or its owner's metadata could have got
// into. A table that comes to hold any of these adds its statement to `eraseClip`. What it cost stays.
import { and, eq, inArray, isNull, type SQL, sql } from "drizzle-orm";
import type { AccountId, ClipId } from "../../shared/ids.ts";
import { TERMINAL_STATES } from "../../shared/states.ts";
import type { Database } from "../database.ts";
import { clipEvents, clips, idempotencyKeys, outputRemovals, triggerDeliveries } from "../schema.ts";
import type { ClipRow } from "./clips.ts";
import { type Statement, type Transition, tookPlace } from "./transitions.ts";
import { eraseMessages } from "./webhooks/retention.ts";

/** Also when it is deleted already; undefined to anyone but its owner. */
export async function findErasable(db: Database, accountId: AccountId, id: ClipId): Promise<ClipRow | undefined> {
  return await db
    .select()
    .from(clips)
    .where(and(eq(clips.id, id), eq(clips.accountId, accountId)))
    .get();
}

/** The first statement of a deletion: only of a clip that has ended, and once. */
export function markDeleted(db: Database, accountId: AccountId, id: ClipId, atMs: number): Statement {
  return db
    .update(clips)
    .set({
      prompt: "",
      metadata: null,
      progress: null,
      errorMessage: null,
      outputs: null,
      outputExpiresAtMs: null,
      webhookUrl: null,
      deletedAtMs: atMs,
    })
    .where(
      and(
        eq(clips.id, id),
        eq(clips.accountId, accountId),
        inArray(clips.state, [...TERMINAL_STATES]),
        isNull(clips.deletedAtMs),
      ),
    );
}

export interface Erasure {
  /** The kept answer to the clip's order was written within this time of it. */
  readonly answeredWithinMs: number;
  /** By then its last signed URL is dead: its bytes are removed at the latest now, or once more then. */
  readonly bytesDueMs: number;
}

/** The later statements of a deletion. */
export function eraseClip(db: Database, transition: Transition, clip: ClipRow, erasure: Erasure): Statement[] {
  const deleted = tookPlace(transition);
  return [
    eraseAnswers(db, clip, erasure.answeredWithinMs, deleted),
    // What a runner said of it may quote the prompt.
    db
      .update(clipEvents)
      .set({ detail: null })
      .where(and(eq(clipEvents.clipId, clip.id), deleted)),
    db
      .update(outputRemovals)
      .set({ dueAtMs: sql`min(${outputRemovals.dueAtMs}, ${erasure.bytesDueMs})` })
      .where(and(eq(outputRemovals.clipId, clip.id), deleted)),
    db.delete(triggerDeliveries).where(and(eq(triggerDeliveries.clipId, clip.id), deleted)),
    ...eraseMessages(db, clip.id, deleted),
  ];
}

/**
 * The keys stay with empty answers, so that a late repetition of the order is refused instead of ordering anew. Looked
 * for by time, on an index: an account may have many.
 */
function eraseAnswers(db: Database, clip: ClipRow, withinMs: number, deleted: SQL): Statement {
  return db
    .update(idempotencyKeys)
    .set({ answer: "", fingerprint: "" })
    .where(
      and(
        sql`${idempotencyKeys.createdAtMs} between ${clip.createdAtMs - withinMs} and ${clip.createdAtMs + withinMs}`,
        eq(idempotencyKeys.accountId, clip.accountId),
        eq(idempotencyKeys.operation, "create_clip"),
        sql`instr(${idempotencyKeys.answer}, ${clip.id}) > 0`,
        deleted,
      ),
    );
}
