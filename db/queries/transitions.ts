// How a clip changes state: one batch, in which only the first statement looks at the state, the second
// writes the event if the first changed its row, and all others ask for that event by its batch id. A batch
// that is sent again after "committed, but the answer was lost" finds the state moved on and does nothing.
//
// changes() guards nothing but the event: it counts the statement just before, so in a longer chain one
// statement that writes two rows would silently switch off the rest.
import { type SQL, sql } from "drizzle-orm";
import type { BatchItem } from "drizzle-orm/batch";
import type { EventId, TransactionId } from "../../shared/ids.ts";
import type { Database } from "../database.ts";
import { type ClipEvent, clipEvents, clips } from "../schema.ts";

/** The ids of one transition; a second run of the same transition needs fresh ones. */
export interface Transition {
  /** The condition that names the clip, once the first statement has run: by its id or by its lease token. */
  readonly clip: SQL;
  readonly batchId: string;
  readonly eventId: EventId;
  /** Of the event that ends the clip, where the transition records two. */
  readonly endEventId: EventId;
  /** Of the ledger transaction, where the transition moves money. */
  readonly transactionId: TransactionId;
  readonly atMs: number;
}

export type Statement = BatchItem<"sqlite">;

/** True inside a batch once its event is written. */
export function tookPlace(transition: Transition): SQL<boolean> {
  return sql`exists (select 1 from ${clipEvents} where ${clipEvents.batchId} = ${transition.batchId})`;
}

function insertEvent(
  db: Database,
  transition: Transition,
  id: EventId,
  event: ClipEvent,
  detail: string | null,
  guard: SQL,
): Statement {
  return db.insert(clipEvents).select(sql`
    select ${id}, ${clips.id}, ${clips.attempt}, ${event}, ${detail}, ${transition.batchId}, ${transition.atMs}
    from ${clips} where ${transition.clip} and ${guard}`);
}

/** The second statement of a batch: the event, if the first statement changed the clip. */
export function recordEvent(db: Database, transition: Transition, event: ClipEvent, detail: string | null): Statement {
  return insertEvent(db, transition, transition.eventId, event, detail, sql`changes() = 1`);
}

/** A later statement: that the same transition also ended the clip. */
export function recordEnd(db: Database, transition: Transition, event: ClipEvent, detail: string | null): Statement {
  return insertEvent(db, transition, transition.endEventId, event, detail, tookPlace(transition));
}

/** Commits statements that no state stands in the way of: all of them, or by a constraint none. */
export async function commitAll(db: Database, statements: readonly Statement[]): Promise<void> {
  const [first, ...rest] = statements;
  if (first !== undefined) await db.batch([first, ...rest]);
}

/** Commits a transition; false when the first statement found another state, and nothing was written. */
export async function commit(
  db: Database,
  first: Statement,
  event: Statement,
  rest: readonly Statement[] = [],
): Promise<boolean> {
  const [, recorded] = await db.batch([first, event, ...rest]);
  return (recorded as D1Result).meta.changes > 0; // what the trigger of decision 0060 writes is counted with it
}
