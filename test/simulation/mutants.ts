// The services with one mistake each: what shows that the auditor can see. Each is a change of source text, made as
// the module loads, and each must be found within a few seeds.
import { type Mutant, one } from "./mutant.ts";
import { PAYMENT_MUTANTS } from "./payment-mutants.ts";
import { WEBHOOK_MUTANTS } from "./webhook-mutants.ts";

/** Within so many seeds, from 1 on, each must be found. */
export const SEEDS_PER_MUTANT = 120;

const CLIPS = "db/queries/clips.ts";
const QUEUE = "db/queries/queue.ts";
const LEDGER = "db/queries/ledger.ts";
const LIMITS = "db/queries/limits.ts";
const TRANSITIONS = "db/queries/transitions.ts";
const RETENTION = "db/queries/retention.ts";
const END = "edge/services/leases/end-attempt.ts";
const HEARTBEAT = "edge/services/leases/heartbeat.ts";
const COMPLETE = "edge/services/leases/complete.ts";
const CREATE = "edge/services/clips/create.ts";
const FIRST_SCHEMA = "db/migrations/0000_first_light.sql";
const BALANCE_SCHEMA = "db/migrations/0016_payments.sql";

export const MUTANTS: readonly Mutant[] = [
  // Fencing.
  one(
    "no fence: an attempt is ended by whoever knows the clip's state",
    CLIPS,
    "    eq(clips.leaseToken, token),\n    IS_HELD,",
    "    IS_HELD,",
  ),
  one(
    "a lease serves any runner",
    CLIPS,
    "and(eq(clips.leaseToken, token), eq(clips.runnerId, runnerId))",
    "eq(clips.leaseToken, token)",
  ),
  one(
    "a zombie's heartbeat brings a dead clip back",
    CLIPS,
    '.where(and(isAsRead, eq(clips.state, "running")))',
    ".where(isAsRead)",
  ),
  one(
    "a heartbeat does not look whether another came first",
    CLIPS,
    "and(eq(clips.leaseToken, read.leaseToken), eq(clips.leaseUntilMs, read.leaseUntilMs))",
    "eq(clips.leaseToken, read.leaseToken)",
    102,
  ),
  one("the attempt does not increase", QUEUE, "sql`${clips.attempt} + 1`", "sql`max(${clips.attempt}, 1)`"),
  one("a nonce gets a second claim", QUEUE, ", IS_QUEUED, sql`not ${claimed}`", ", IS_QUEUED"),
  // Time.
  one(
    "the sweep does not look again whether the lease is over",
    CLIPS,
    "overdueAtMs === null ? undefined : lte(clips.leaseUntilMs, overdueAtMs)",
    "undefined",
    102,
  ),
  one(
    "the sweep takes leases back a second early",
    "edge/services/leases/sweep.ts",
    "const overdueAtMs = ports.clock.now();",
    "const overdueAtMs = ports.clock.now() + 1_000;",
  ),
  one(
    "a stalled attempt's lease is still honoured",
    HEARTBEAT,
    "Math.min(now + ports.times.leaseMs, progressAtMs + ports.times.stallMs)",
    "now + ports.times.leaseMs",
  ),
  one("the lease comes before its timer", "edge/services/leases/claim.ts", "  await ports.bell.wakeBy(untilMs);\n", ""),
  one("an expired clip is claimed", QUEUE, " and waiting.expires_at_ms > ${lease.atMs}\n", "\n"),
  {
    name: "the sweep expires clips whatever their state",
    edits: [
      {
        file: QUEUE,
        from: ".where(and(IS_QUEUED, lte(clips.expiresAtMs, nowMs)))",
        to: ".where(lte(clips.expiresAtMs, nowMs))",
      },
      {
        file: QUEUE,
        from: ".where(and(eq(clips.id, id), IS_QUEUED, lte(clips.expiresAtMs, atMs)))",
        to: ".where(and(eq(clips.id, id), lte(clips.expiresAtMs, atMs)))",
      },
    ],
    first: 24,
  },
  // Ends.
  one("the poison limit is off by one", END, "counted < ports.times.maxAttempts", "counted <= ports.times.maxAttempts"),
  one("hand-backs go round for ever", END, "end.unharmed && row.handedBack < UNCOUNTED_HAND_BACKS", "end.unharmed", 78),
  one(
    "cancel ignores that the clip has ended",
    CLIPS,
    "eq(clips.accountId, accountId), IS_LIVE)",
    "eq(clips.accountId, accountId))",
  ),
  one(
    "cancel ignores that a runner holds the clip",
    CLIPS,
    "const IS_LIVE = sql`${clips.state} in ('queued', 'leased', 'running')`",
    "const IS_LIVE = sql`${clips.state} = 'queued'`",
  ),
  one(
    "anyone cancels anyone's clip",
    CLIPS,
    ".where(and(eq(clips.id, id), eq(clips.accountId, accountId), IS_LIVE))",
    ".where(and(eq(clips.id, id), IS_LIVE))",
  ),
  one("an upload's checksum is not looked at", COMPLETE, "stored.md5 !== declared.md5", "false"),
  one(
    "the object's key does not name the attempt",
    "edge/services/files/output.ts",
    "`clips/${clipId}/${attempt}/",
    "`clips/${clipId}/${attempt > 0 ? 1 : 0}/",
  ),
  // Money.
  one(
    "changes() guards what follows the event",
    TRANSITIONS,
    "sql`exists (select 1 from ${clipEvents} where ${clipEvents.batchId} = ${transition.batchId})`",
    "sql`changes() = 1`",
  ),
  one(
    "the ledger's second row breaks the guard",
    LEDGER,
    ".where(sql`${balances.accountId} = ${owner} and ${tookPlace(transition)}`)",
    ".where(sql`${balances.accountId} = ${owner} and changes() = 1`)",
  ),
  one(
    "captured before the clip has succeeded",
    COMPLETE,
    "  const succeeded = await commit(",
    `  const touch = ports.db.update(clips).set({ attempt: row.attempt }).where(eq(clips.leaseToken, row.leaseToken));
  await commit(ports.db, touch, recordEvent(ports.db, transition, "handed_back", null), capture(ports.db, transition));
  const succeeded = await commit(`,
  ),
  one(
    "captured in a commit of its own",
    COMPLETE,
    "    [...capture(ports.db, transition), scheduleRemoval(ports.db, transition, removedAtMs)],\n  );",
    "    [scheduleRemoval(ports.db, transition, removedAtMs)],\n  );\n" +
      "  if (succeeded) await ports.db.batch(capture(ports.db, transition) as never);",
  ),
  {
    name: "a hold is released twice",
    edits: [
      {
        file: FIRST_SCHEMA,
        from: "CREATE UNIQUE INDEX `ledger_one_resolution`",
        to: "CREATE INDEX `ledger_one_resolution`",
      },
      {
        file: "db/migrations/0017_days_and_replacements.sql",
        from: "`clip_id` = NEW.`clip_id` AND `book` = 'held' AND `amount_micros` < 0))",
        to: "false))",
      },
      {
        file: END,
        from: "    ...release(ports.db, transition),\n",
        to: "    ...release(ports.db, transition),\n    ...release(ports.db, { ...transition, transactionId: `${transition.transactionId}2` as never }),\n",
      },
    ],
  },
  one("a failed clip keeps its hold", END, "    ...release(ports.db, transition),\n", ""),
  one(
    "no CHECK on the balance",
    BALANCE_SCHEMA,
    '"__new_balances"."posted_micros" - "__new_balances"."pending_micros" >= "__new_balances"."floor_micros"',
    "1",
  ),
  one(
    "a cap is looked at before the order and not in it",
    LIMITS,
    "capMicros: sql`excluded.cap_micros`,",
    "capMicros: sql`null`,",
  ),
  one(
    "a free clip still counts against its day",
    LEDGER,
    "    countEnd(db, transition),\n    ...uncountSpend(db, transition),\n",
    "    countEnd(db, transition),\n",
  ),
  one(
    "a day's spending is forgotten before the day is over",
    "edge/services/accounts/forget-days.ts",
    "utcDay(now - keptMs)",
    "utcDay(now - keptMs) + 4",
  ),
  one("a clip that ended is in flight for ever", LEDGER, "    countEnd(db, transition),\n  ];", "  ];"),
  {
    name: "refunded twice",
    edits: [
      {
        file: "db/migrations/0004_refunds.sql",
        from: '"clip_refunds"."refunded_micros" <= "clip_refunds"."captured_micros"',
        to: "1",
      },
    ],
  },
  // Once.
  one("no unique index on Idempotency-Keys", FIRST_SCHEMA, "\tPRIMARY KEY(`account_id`, `operation`, `key`),\n", ""),
  {
    name: "the kept answer is written outside of the batch",
    edits: [
      { file: CREATE, from: "      ...(once === null ? [] : keep(ports.db, ports, once, answer)),\n", to: "" },
      {
        file: CREATE,
        from: "  for (const { model, expiresAtMs } of rows)",
        to: "  if (once !== null) await ports.db.batch(keep(ports.db, ports, once, answer) as never);\n  for (const { model, expiresAtMs } of rows)",
      },
    ],
  },
  one(
    "another body with the same key gets the first answer",
    "edge/services/idempotency.ts",
    "kept.fingerprint !== once.fingerprint",
    "false",
  ),
  one(
    "kept answers are dropped a minute early",
    "edge/services/idempotency.ts",
    "dropAnswers(ports.db, now - ports.times.idempotencyMs,",
    "dropAnswers(ports.db, now - ports.times.idempotencyMs + 60_000,",
  ),
  // Turns.
  one(
    "the last order is taken first",
    QUEUE,
    "order by waiting.turn, waiting.id limit 1",
    "order by waiting.turn desc, waiting.id limit 1",
  ),
  one(
    "first come, first served, whoever has ordered how much",
    QUEUE,
    "order by waiting.turn, waiting.id limit 1",
    "order by waiting.id limit 1",
  ),
  one("a drained runner gets clips", QUEUE, ", sql`not ${claimed}`, sql`not ${drained}`)", ", sql`not ${claimed}`)"),
  // Retention.
  one(
    "retention removes what is still offered",
    RETENTION,
    ".where(lte(outputRemovals.dueAtMs, nowMs))",
    ".where(lte(outputRemovals.dueAtMs, nowMs + 30_000))",
  ),
  one("what a lost attempt has put stays for ever", END, "[removal]", "[]"),
  one(
    "rows are settled though their bytes could not be removed",
    "edge/services/files/remove.ts",
    "    await ports.store.remove(",
    "    void ports.store.remove(",
  ),
  ...WEBHOOK_MUTANTS,
  ...PAYMENT_MUTANTS,
  // Who may see what.
  one(
    "a clip is shown to whoever knows its id",
    CLIPS,
    ".where(and(eq(clips.id, id), eq(clips.accountId, accountId), isNull(clips.deletedAtMs)))",
    ".where(and(eq(clips.id, id), isNull(clips.deletedAtMs)))",
  ),
  one("a revoked key still works", "edge/services/keys/verify.ts", "row.revokedAtMs !== null", "false", 32),
];
