// Lists of clips for their owners, on the index of an account's clips: ids sort by time, so a span of time is a span
// of ids.
import { and, asc, desc, eq, gt, gte, inArray, isNotNull, isNull, lt, or, type SQL, sql } from "drizzle-orm";
import type { AccountId, ClipId } from "../../shared/ids.ts";
import type { PublicState } from "../../shared/states.ts";
import type { Database } from "../database.ts";
import { clips } from "../schema.ts";
import type { ClipRow } from "./clips.ts";

export interface ListSpan {
  readonly accountId: AccountId;
  /** The first id; null for all. */
  readonly from: ClipId | null;
  /** Ids are below it; null for all. */
  readonly until: ClipId | null;
}

export interface ListFilter {
  readonly state: PublicState | null;
  readonly model: string | null;
  readonly metadata: readonly (readonly [name: string, value: string])[];
}

function within({ accountId, from, until }: ListSpan): SQL | undefined {
  return and(
    eq(clips.accountId, accountId),
    from === null ? undefined : gte(clips.id, from),
    until === null ? undefined : lt(clips.id, until),
  );
}

/** As the view shows it: a clip that has started never shows as queued again. */
function showsAs(state: PublicState): SQL | undefined {
  const waits = inArray(clips.state, ["queued", "leased"]);
  if (state === "queued") return and(waits, isNull(clips.startedAtMs));
  if (state === "running") return or(eq(clips.state, "running"), and(waits, isNotNull(clips.startedAtMs)));
  return eq(clips.state, state);
}

/** Newest first: at most `limit` of the newest `lookedThrough` clips of the span that pass the filter. */
export async function findListed(
  db: Database,
  span: ListSpan,
  lookedThrough: number,
  { state, model, metadata }: ListFilter,
  limit: number,
): Promise<ClipRow[]> {
  const oldest = db
    .select({ id: clips.id })
    .from(clips)
    .where(within(span))
    .orderBy(desc(clips.id))
    .limit(1)
    .offset(lookedThrough - 1);
  const hasMetadata = metadata.map(([name, value]) => sql`${clips.metadata} ->> ${`$."${name}"`} = ${value}`);
  return await db
    .select()
    .from(clips)
    .where(
      and(
        within(span),
        sql`${clips.id} >= coalesce((${oldest}), '')`,
        isNull(clips.deletedAtMs),
        state === null ? undefined : showsAs(state),
        model === null ? undefined : eq(clips.model, model),
        ...hasMetadata,
      ),
    )
    .orderBy(desc(clips.id))
    .limit(limit);
}

/** An account's clips by creation from after `after` on, in either order. */
export async function findPage(
  db: Database,
  accountId: AccountId,
  { after, order, limit }: { after: ClipId | null; order: "asc" | "desc"; limit: number },
): Promise<ClipRow[]> {
  const beyond = order === "asc" ? gt : lt;
  return await db
    .select()
    .from(clips)
    .where(
      and(
        eq(clips.accountId, accountId),
        isNull(clips.deletedAtMs),
        after === null ? undefined : beyond(clips.id, after),
      ),
    )
    .orderBy(order === "asc" ? asc(clips.id) : desc(clips.id))
    .limit(limit);
}

/** The n-th newest clip of the span if there are more; null if all of the span has been looked through. */
export async function findNthBefore(db: Database, span: ListSpan, n: number): Promise<ClipId | null> {
  const rows = await db
    .select({ id: clips.id })
    .from(clips)
    .where(within(span))
    .orderBy(desc(clips.id))
    .limit(2)
    .offset(n - 1);
  const [nth, more] = rows;
  return more === undefined ? null : (nth?.id ?? null);
}
