// The counts that an order must fit into: what its account and its key spend on its day, how many clips its account
// has in flight, and how many its browser token may order. Each is a row with a CHECK, moved in the batch that moves the money, so that of many
// orders at once exactly those pass that fit; a look beforehand could not promise that.
import { and, eq, sql } from "drizzle-orm";
import { DAY_MS } from "../../shared/days.ts";
import type { AccountId, KeyId } from "../../shared/ids.ts";
import type { Database } from "../database.ts";
import { accounts, apiKeys, browserTokens, chatSpend, clips, dailySpend, inFlight, triggerDays } from "../schema.ts";
import { type Statement, type Transition, tookPlace } from "./transitions.ts";

/** A clip counts against the day of its order, whenever it ends. */
export const CLIP_DAY = sql`${clips.createdAtMs} / ${sql.raw(String(DAY_MS))}`;

/** Aborts the batch by `account_daily_cap`, `key_daily_cap`, `in_flight_allowed` or `browser_token_clips`. */
export function countOrder(db: Database, transition: Transition): Statement[] {
  const ordered = sql`${transition.clip} and ${tookPlace(transition)}`;
  const spend = (spender: "account" | "key") => {
    const table = spender === "account" ? accounts : apiKeys;
    const id = spender === "account" ? clips.accountId : clips.keyId;
    return db
      .insert(dailySpend)
      .select(
        sql`select ${spender}, ${table.id}, ${CLIP_DAY}, ${clips.priceMicros}, ${table.dailyCapMicros}
          from ${clips} join ${table} on ${table.id} = ${id} where ${ordered}`,
      )
      .onConflictDoUpdate({
        target: [dailySpend.spenderId, dailySpend.utcDay],
        set: {
          spentMicros: sql`${dailySpend.spentMicros} + excluded.spent_micros`,
          capMicros: sql`excluded.cap_micros`,
        },
      });
  };
  const flight = db
    .insert(inFlight)
    .select(
      sql`select ${accounts.id}, 1, ${accounts.maxInFlight}
        from ${clips} join ${accounts} on ${accounts.id} = ${clips.accountId} where ${ordered}`,
    )
    .onConflictDoUpdate({
      target: inFlight.accountId,
      set: { clips: sql`${inFlight.clips} + 1`, allowed: sql`excluded.allowed` },
    });
  const token = db
    .update(browserTokens)
    .set({ clips: sql`${browserTokens.clips} + 1` })
    .where(sql`${browserTokens.id} = (select ${clips.tokenId} from ${clips} where ${ordered})`);
  return [spend("account"), spend("key"), flight, token];
}

/** The clip has ended, however it did. */
export function countEnd(db: Database, transition: Transition): Statement {
  return db
    .update(inFlight)
    .set({ clips: sql`${inFlight.clips} - 1` })
    .where(
      sql`${inFlight.accountId} = (select ${clips.accountId} from ${clips} where ${transition.clip})
        and ${tookPlace(transition)}`,
    );
}

/** The clip was free after all: it no longer counts against the day of its order. */
export function uncountSpend(db: Database, transition: Transition): Statement[] {
  const of = (column: unknown) => sql`(select ${column} from ${clips} where ${transition.clip})`;
  const spent = db
    .update(dailySpend)
    .set({ spentMicros: sql`${dailySpend.spentMicros} - ${of(clips.priceMicros)}` })
    .where(
      sql`${dailySpend.spenderId} in (${of(clips.accountId)}, ${of(clips.keyId)})
        and ${dailySpend.utcDay} = ${of(CLIP_DAY)} and ${tookPlace(transition)}`,
    );
  const triggered = db
    .update(triggerDays)
    .set({
      clips: sql`${triggerDays.clips} - 1`,
      spentMicros: sql`${triggerDays.spentMicros} - ${of(clips.priceMicros)}`,
    })
    .where(
      sql`${triggerDays.triggerId} = ${of(clips.triggerId)} and ${triggerDays.utcDay} = ${of(CLIP_DAY)}
        and ${tookPlace(transition)}`,
    );
  return [spent, triggered];
}

/** What is held and captured of that day's orders. */
export async function findSpent(db: Database, spenderId: AccountId | KeyId, utcDay: number): Promise<number> {
  const row = await db
    .select({ spent: dailySpend.spentMicros })
    .from(dailySpend)
    .where(and(eq(dailySpend.spenderId, spenderId), eq(dailySpend.utcDay, utcDay)))
    .get();
  return row?.spent ?? 0;
}

type CountedByDay = typeof dailySpend | typeof triggerDays | typeof chatSpend;

/** Drops at most `limit` counts of each kind, of days before this one; the most that there were of one kind. */
export async function dropDays(db: Database, utcDay: number, limit: number): Promise<number> {
  const drop = (counts: CountedByDay) =>
    db.delete(counts).where(
      sql`rowid in (select rowid from ${counts} where ${counts.utcDay} < ${utcDay}
        order by ${counts.utcDay} limit ${limit})`,
    );
  const dropped = await db.batch([drop(dailySpend), drop(triggerDays), drop(chatSpend)]);
  return Math.max(...dropped.map(({ meta }) => meta.changes));
}

/** The oldest day of which anything is counted, or null. */
export async function findOldestDay(db: Database): Promise<number | null> {
  const oldest = (counts: CountedByDay) => sql`select min(${counts.utcDay}) as day from ${counts}`;
  const row = await db.get<{ day: number | null }>(
    sql`select min(day) as day from (${oldest(dailySpend)} union all ${oldest(triggerDays)}
      union all ${oldest(chatSpend)})`,
  );
  return row.day;
}

export async function findInFlight(db: Database, accountId: AccountId): Promise<number> {
  const row = await db.select({ clips: inFlight.clips }).from(inFlight).where(eq(inFlight.accountId, accountId)).get();
  return row?.clips ?? 0;
}
