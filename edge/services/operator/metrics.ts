// The state of the service in numbers, from the database: true after any restart, and the same from every isolate.
import { countHeld, countQueued, findBacklog, listTotals, sumHolds } from "../../../db/queries/metrics.ts";
import { listRunners, type RunnerRow } from "../../../db/queries/runners.ts";
import { MODELS } from "../../../shared/models.ts";
import { TERMINAL_STATES } from "../../../shared/states.ts";
import type { Ports } from "../ports.ts";
import { deadSinceMs, MAX_RUNNERS, stateOf } from "../runners/fleet.ts";
import { expose, type Family, type Sample } from "./exposition.ts";

type Source = Pick<Ports, "db" | "clock" | "times">;

const HELD_STATES = ["leased", "running"] as const;
const RUNNER_STATES = ["live", "draining", "dead", "never_seen"] as const;

/** One text of metrics; `content-type` is OPENMETRICS_TYPE. */
export async function readMetrics(ports: Source): Promise<string> {
  const { db } = ports;
  const [queued, held, totals, backlog, holds, runners] = await Promise.all([
    countQueued(db),
    countHeld(db),
    listTotals(db),
    findBacklog(db),
    sumHolds(db),
    listRunners(db, MAX_RUNNERS),
  ]);
  const ageS = (bornMs: number | null) => (bornMs === null ? 0 : Math.max(0, ports.clock.now() - bornMs) / 1_000);
  const gauge = (name: string, help: string, samples: readonly Sample[]): Family => {
    return { name: `turboclip_${name}`, type: "gauge", help, samples };
  };
  // Every model and state that there is has a sample, so that an alert on 0 has something to look at.
  const models = [...new Set([...MODELS.map(({ id }) => id), ...[...queued, ...held, ...totals].map((r) => r.model)])];
  const of = <R extends { model: string }>(rows: readonly R[], model: string) => rows.find((r) => r.model === model);
  return expose([
    gauge(
      "clips",
      "Clips that have not ended, by state and model.",
      models.flatMap((model) => [
        { labels: { state: "queued", model }, value: of(queued, model)?.clips ?? 0 },
        ...HELD_STATES.map((state) => {
          const value = held.find((row) => row.model === model && row.state === state)?.clips ?? 0;
          return { labels: { state, model }, value };
        }),
      ]),
    ),
    {
      name: "turboclip_clips_ended",
      type: "counter",
      help: "Clips that have ended, by state and model.",
      samples: models.flatMap((model) =>
        TERMINAL_STATES.map((state) => {
          const value = totals.find((row) => row.model === model && row.state === state)?.clips ?? 0;
          return { labels: { state, model }, value };
        }),
      ),
    },
    gauge(
      "queue_oldest_seconds",
      "Age of the oldest queued clip of the model; 0 when none is queued.",
      models.map((model) => ({ labels: { model }, value: ageS(of(queued, model)?.oldestMs ?? null) })),
    ),
    ...runnerFamilies(runners, deadSinceMs(ports), gauge),
    gauge("webhook_deliveries_pending", "Webhook deliveries that are still to be made.", [
      { value: backlog.deliveries },
    ]),
    gauge("webhook_oldest_pending_seconds", "Age of the oldest message that is still to be delivered.", [
      { value: ageS(backlog.oldestMs) },
    ]),
    gauge("webhook_overdue_seconds", "How long ago the first pending delivery was due: how far Outboxes are behind.", [
      { value: ageS(backlog.dueMs) },
    ]),
    gauge("holds_micros", "Micro-dollars held for clips that have not ended.", [{ value: holds }]),
  ]);
}

function runnerFamilies(
  rows: readonly RunnerRow[],
  deadMs: number,
  gauge: (name: string, help: string, samples: readonly Sample[]) => Family,
): Family[] {
  const states = rows.map((row) => ({ state: stateOf(row, deadMs), models: row.models }));
  const offered = new Map<string, number>();
  for (const { state, models } of states) {
    for (const model of models) {
      const key = JSON.stringify([state, model]);
      offered.set(key, (offered.get(key) ?? 0) + 1);
    }
  }
  const counts = RUNNER_STATES.map((state) => {
    return { labels: { state }, value: states.filter((row) => row.state === state).length };
  });
  const byModel = [...offered].map(([key, value]) => {
    const [state = "", model = ""] = JSON.parse(key) as string[];
    return { labels: { state, model }, value };
  });
  return [
    gauge("runners", "Runners, by state.", counts),
    gauge(
      "runners_offering",
      "Runners that offer the model, by state; one that offers several counts for each.",
      byModel,
    ),
  ];
}
