// What must hold after every commit, asked of the raw tables. Named after what it protects: M money, J jobs.
import { expect } from "vitest";
import { env } from "./env.ts";

async function rows<T>(sql: string): Promise<T[]> {
  return (await env.DB.prepare(sql).all<T>()).results;
}

const LIVE = "('queued', 'leased', 'running')";

export async function expectInvariants(): Promise<void> {
  // M1: the rows of every transaction sum to 0, and there are two of them.
  expect(
    await rows(`select transaction_id, sum(amount_micros) as total, count(*) as entries from ledger_entries
      group by transaction_id having total <> 0 or entries <> 2`),
  ).toEqual([]);
  // M2 and M5: the balance row is the fold of the ledger, and nobody has promised more than they own.
  expect(
    await rows(`select b.account_id, b.posted_micros, b.pending_micros,
        coalesce(sum(l.amount_micros) filter (where l.book in ('available', 'held')), 0) as posted,
        coalesce(sum(l.amount_micros) filter (where l.book = 'held'), 0) as pending
      from balances b left join ledger_entries l on l.account_id = b.account_id
      group by b.account_id
      having posted <> b.posted_micros or pending <> b.pending_micros or posted - pending < b.floor_micros or b.floor_micros > 0
        or pending < 0`),
  ).toEqual([]);
  // M7: what the ledger has of payments is what Stripe has told of them, and never that of a top-up twice.
  expect(
    await rows(`select p.payment_intent from stripe_payments p join top_ups t on t.id = p.top_up_id
      where p.booked_paid_micros <> t.amount_micros or p.booked_refunded_micros <> p.refunded_micros
        or p.booked_disputed_micros <> (select coalesce(sum(d.amount_micros), 0) from stripe_disputes d
          where d.payment_intent = p.payment_intent and not d.reinstated)
        or p.booked_paid_micros - p.booked_refunded_micros - p.booked_disputed_micros
          <> (select coalesce(sum(l.amount_micros), 0) from ledger_entries l where l.reason = t.id
            and l.book = 'available' and l.kind in ('payment', 'payment_refund', 'dispute'))`),
  ).toEqual([]);
  expect(
    await rows(`select l.reason, count(*) as times from ledger_entries l where l.kind = 'payment' and l.book = 'available'
      group by l.reason having times <> 1`),
  ).toEqual([]);
  // A charge of a kept card is open only while its account waits for it, one at a time.
  expect(
    await rows(`select id from top_ups where auto and state = 'open'
      and not exists (select 1 from auto_top_ups a where a.top_up_id = top_ups.id)`),
  ).toEqual([]);
  // M3 and M4: one hold a clip, resolved exactly once when the clip ends: captured if it succeeded, else released.
  expect(
    await rows(`select c.id, c.state,
        count(*) filter (where l.kind = 'hold') as holds,
        count(*) filter (where l.kind = 'capture') as captures,
        count(*) filter (where l.kind = 'release') as releases,
        sum(abs(l.amount_micros)) as moved
      from clips c left join ledger_entries l on l.clip_id = c.id and l.kind <> 'refund' group by c.id
      having holds <> 2
        or captures <> (case when c.state = 'succeeded' then 2 else 0 end)
        or releases <> (case when c.state in ('failed', 'cancelled', 'expired') then 2 else 0 end)
        or moved <> c.price_micros * (case when c.state in ${LIVE} then 2 else 4 end)`),
  ).toEqual([]);
  // What was refunded of a clip is what its row says, and never more than was captured.
  expect(
    await rows(`select l.clip_id, r.refunded_micros, sum(l.amount_micros) as refunded from ledger_entries l
      join clips c on c.id = l.clip_id left join clip_refunds r on r.clip_id = l.clip_id
      where l.kind = 'refund' and l.book = 'available' group by l.clip_id
      having refunded is not r.refunded_micros or refunded > c.price_micros or c.state <> 'succeeded'`),
  ).toEqual([]);
  // M6: what counts against the caps is what is held and captured, by the day of the order, and fits into them.
  expect(
    await rows(`with spent as (
        select 'account' as spender, account_id as id, created_at_ms / 86400000 as day, price_micros from clips
          where state not in ('failed', 'cancelled', 'expired')
        union all
        select 'key', key_id, created_at_ms / 86400000, price_micros from clips
          where state not in ('failed', 'cancelled', 'expired'))
      select d.spender_id, d.utc_day, d.spent_micros, d.cap_micros, coalesce(sum(s.price_micros), 0) as fold
      from daily_spend d left join spent s on s.spender = d.spender and s.id = d.spender_id and s.day = d.utc_day
      group by d.spender_id, d.utc_day having fold <> d.spent_micros or d.spent_micros > d.cap_micros`),
  ).toEqual([]);
  expect(
    await rows(`select d.trigger_id, d.utc_day, d.clips, d.spent_micros, count(c.id) as ordered from trigger_days d
      left join clips c on c.trigger_id = d.trigger_id and c.created_at_ms / 86400000 = d.utc_day
        and c.state not in ('failed', 'cancelled', 'expired')
      group by d.trigger_id, d.utc_day
      having ordered <> d.clips or coalesce(sum(c.price_micros), 0) <> d.spent_micros
        or d.clips > d.max_clips or d.spent_micros > d.cap_micros`),
  ).toEqual([]);
  expect(
    await rows(`select f.account_id, f.clips, count(c.id) as live from in_flight f
      left join clips c on c.account_id = f.account_id and c.state in ${LIVE}
      group by f.account_id having live <> f.clips or f.clips > f.allowed`),
  ).toEqual([]);
  // J1: a clip's end is told by exactly one event, and a clip that lives has none.
  expect(
    await rows(`select c.id, c.state, group_concat(e.event) as ends from clips c
      left join clip_events e on e.clip_id = c.id and e.event in ('succeeded', 'failed', 'cancelled', 'expired')
      group by c.id having coalesce(ends, 'none') <> (case when c.state in ${LIVE} then 'none' else c.state end)`),
  ).toEqual([]);
  // R1: of every attempt that has ended, the bytes are kept, are to be removed, or are removed; never of one under way.
  expect(
    await rows(`select c.id, c.state, c.attempt, r.due_at_ms from clips c
      left join output_removals r on r.clip_id = c.id and r.attempt = c.attempt
      where (c.state in ('leased', 'running') and r.due_at_ms is not null)
        or (c.state = 'succeeded' and r.due_at_ms is null and c.output_removed_at_ms is null)
        or (c.state = 'succeeded' and r.due_at_ms < c.output_expires_at_ms)`),
  ).toEqual([]);
  // J5: a clip with a URL of its own has told of its end exactly when it has ended, and nothing is told that is not so.
  expect(
    await rows(`select c.id, c.state, count(d.message_id) as told from clips c
      left join webhook_messages m on m.clip_id = c.id and m.type = 'clip.' || c.state and m.type <> 'clip.started'
      left join webhook_deliveries d on d.message_id = m.id and d.lane like '%@%'
      where c.webhook_url is not null group by c.id having told <> (case when c.state in ${LIVE} then 0 else 1 end)`),
  ).toEqual([]);
  // O1: the counts of clips that have ended are what a count of the clips would find.
  expect(
    await rows(`select model, state, count(*) as clips from clips
        where state in ('succeeded', 'failed', 'cancelled', 'expired') group by model, state
      except select model, state, clips from clip_totals`),
  ).toEqual([]);
  // J2: a lease exists exactly while an attempt is under way, and each attempt was leased once.
  expect(
    await rows(`select id, state from clips
      where (state in ('leased', 'running') and (lease_token is null or lease_until_ms is null or runner_id is null))
        or (state = 'queued' and (lease_token is not null or runner_id is not null))
        or attempt <> (select count(*) from clip_events e where e.clip_id = clips.id and e.event = 'leased')`),
  ).toEqual([]);
}

/** Every row of every table, to show that a refused request changed nothing. */
export async function everything(): Promise<unknown> {
  const tables = [
    "accounts",
    "balances",
    "clips",
    "clip_events",
    "ledger_entries",
    "idempotency_keys",
    "daily_spend",
    "in_flight",
    "clip_refunds",
    "output_removals",
    "webhook_endpoints",
    "webhook_secrets",
    "webhook_messages",
    "webhook_deliveries",
    "uploads",
    "audit_log",
    "clip_totals",
    "triggers",
    "trigger_urls",
    "trigger_days",
    "trigger_deliveries",
    "balance_alerts",
    "top_ups",
    "auto_top_ups",
    "stripe_customers",
    "stripe_events",
    "stripe_payments",
    "stripe_disputes",
  ];
  const read = async (table: string) =>
    (await rows(`select * from ${table}`)).map((row) => JSON.stringify(row)).toSorted();
  return await Promise.all(tables.map(read));
}

export async function eventsOf(clipId: string): Promise<string[]> {
  const events = await rows<{ event: string; attempt: number }>(
    `select event, attempt from clip_events where clip_id = '${clipId}' order by rowid`,
  );
  return events.map(({ event, attempt }) => `${event} ${attempt}`);
}
