// Mistakes in telling customers: what must be told, to whom, when, and signed by what.
import { type Mutant, one } from "./mutant.ts";

const ATTEMPT = "edge/services/webhooks/attempt.ts";
const DELIVER = "edge/services/webhooks/deliver.ts";
const DELIVERIES = "db/queries/webhooks/deliveries.ts";
const SCHEDULE = "edge/services/webhooks/schedule.ts";
const SCHEMA = "db/migrations/0010_webhooks.sql";

export const WEBHOOK_MUTANTS: readonly Mutant[] = [
  {
    name: "a message is written in a commit of its own",
    edits: [
      { file: SCHEMA, from: "AFTER INSERT ON `clip_events`", to: "AFTER UPDATE ON `clip_events`" },
      {
        file: "edge/services/webhooks/wake.ts",
        from: 'import type { Lane } from "../../../db/schema.ts";',
        to: 'import { inArray } from "drizzle-orm";\nimport { clipEvents, type Lane } from "../../../db/schema.ts";',
      },
      {
        file: "edge/services/webhooks/wake.ts",
        from: "  await wakeLanes(ports, lanes.flat());",
        to: `  await ports.db.update(clipEvents).set({ atMs: transition.atMs })
    .where(inArray(clipEvents.id, [transition.eventId, transition.endEventId]));
  await wakeLanes(ports, lanes.flat());`,
      },
    ],
  },
  one("a cancellation is not told", SCHEMA, "'failed', 'cancelled', 'expired')", "'failed', 'expired')"),
  one("endpoints are told what they did not ask for", SCHEMA, "`value` = m.`type`))", "true))"),
  one(
    "a message counts as delivered when nothing came back",
    ATTEMPT,
    "answer !== null && answer.status >= 200 && answer.status <= 299",
    "answer === null || (answer.status >= 200 && answer.status <= 299)",
  ),
  one("a redirect counts as delivered", ATTEMPT, "answer.status <= 299", "answer.status <= 399"),
  one("the body is made anew for each attempt", ATTEMPT, "body: due.payload,", "body: `${due.payload} `,"),
  one("names are looked up only when a URL is given", ATTEMPT, 'await checkTarget(ports, due.url, "/url")', "due.url"),
  one(
    "retries stop early",
    SCHEDULE,
    "if (wait === undefined) return null;",
    "if (failures > 3 || wait === undefined) return null;",
  ),
  one("a retry comes a second early", SCHEDULE, "Math.floor(wait * (1 + JITTER * share))", "wait - 1_000"),
  one(
    "Retry-After is not looked at",
    SCHEDULE,
    "Math.floor(wait * (1 + JITTER * share)), retryAfterMs",
    "Math.floor(wait * (1 + JITTER * share))",
  ),
  one(
    "Retry-After is about its own message alone",
    DELIVER,
    "heldUntilMs === 0 ? others :",
    "heldUntilMs >= 0 ? others :",
  ),
  one("a 410 is ignored", DELIVER, "results.some(({ status }) => status === GONE)", "false"),
  one("an endpoint that fails for five days goes on", DELIVER, 'return tooLong ? "failing" : null;', "return null;"),
  one(
    "deliveries wait for an endpoint that was disabled",
    DELIVER,
    "    exhaustWaiting(ports.db, lane, `the endpoint was disabled: ${reason}`),\n",
    "",
  ),
  one(
    "a secret that was replaced signs for good",
    "db/queries/webhooks/secrets.ts",
    "gt(webhookSecrets.expiresAtMs, nowMs)",
    "gt(webhookSecrets.createdAtMs, 0)",
  ),
  one(
    "only the newest secret signs",
    "edge/services/webhooks/secrets.ts",
    "await Promise.allSettled(rows.map(",
    "await Promise.allSettled(rows.slice(0, 1).map(",
  ),
  one(
    "an attempt brings back what was exhausted in the meantime",
    DELIVERIES,
    "    eq(webhookDeliveries.replayedAfter, before.replayedAfter),\n    IS_PENDING,\n",
    "    eq(webhookDeliveries.replayedAfter, before.replayedAfter),\n",
  ),
  one(
    "an Outbox delivers what waits on any lane",
    DELIVERIES,
    "and(eq(webhookDeliveries.lane, lane), IS_PENDING, lte(",
    "and(IS_PENDING, lte(",
  ),
  one(
    "an Outbox takes its time",
    "edge/durable/outbox.ts",
    "if (next !== null) await this.#wakeBy(next);",
    "if (next !== null) await this.#wakeBy(next + 20_000);",
  ),
  one("a wake that is lost is lost for good", "edge/services/sweep.ts", "  wakeOverdue,\n", "", 26),
  one(
    "messages are dropped a minute early",
    "edge/services/webhooks/retention.ts",
    "const bornByMs = now - ports.times.messagesKeptMs;",
    "const bornByMs = now - ports.times.messagesKeptMs + 60_000;",
  ),
];
