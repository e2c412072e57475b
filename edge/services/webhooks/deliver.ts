// What an Outbox does when it wakes: sends a bounded batch of what is due on its lane, then writes all results in one
// batch, each fenced by the number of attempts that it was read with. Whatever is lost between sending and writing is
// sent again: at least once, never a delivery lost.

import { recordAct } from "../../../db/queries/audit.ts";
import type { Statement } from "../../../db/queries/transitions.ts";
import {
  type AttemptResult,
  findDue,
  findLanesOf,
  findNextDue,
  holdLane,
  insertMessage,
  recordAttempt,
  wants,
} from "../../../db/queries/webhooks/deliveries.ts";
import {
  type DisabledReason,
  disableEndpoint,
  type EndpointRow,
  exhaustWaiting,
  noteHealth,
} from "../../../db/queries/webhooks/endpoints.ts";
import { isWritten, sqlChanged } from "../../../db/queries/webhooks/guards.ts";
import type { Lane } from "../../../db/schema.ts";
import type { EventId } from "../../../shared/ids.ts";
import { newAct } from "../audit.ts";
import { timestamp } from "../clips/view.ts";
import { newIdAt } from "../identifiers.ts";
import type { Ports } from "../ports.ts";
import { attempt, GONE } from "./attempt.ts";
import { openSecrets } from "./secrets.ts";
import { wakeLanes } from "./wake.ts";

/** An invocation has six connections, and one is for names. */
const AT_ONCE = 5;
export const FAILING_DISABLES_MS = 5 * 24 * 3_600_000;

type Source = Pick<
  Ports,
  | "db"
  | "clock"
  | "random"
  | "bell"
  | "outbound"
  | "resolver"
  | "trustedHosts"
  | "publicOrigin"
  | "vault"
  | "outboxes"
  | "log"
  | "requestId"
>;

/** Returns when the lane is next due, or null when nothing waits on it. Safe to run at any time, twice, or late. */
export async function deliverDue(ports: Source, lane: Lane): Promise<number | null> {
  const { due, endpoint, secrets: rows } = await findDue(ports.db, lane, ports.clock.now(), AT_ONCE);
  if (due.length > 0) {
    const secrets = await openSecrets(ports, rows);
    const results = await Promise.all(due.map(async (delivery) => await attempt(ports, delivery, secrets)));
    await record(ports, lane, endpoint, results);
  }
  return await findNextDue(ports.db, lane);
}

async function record(
  ports: Source,
  lane: Lane,
  endpoint: EndpointRow | undefined,
  results: readonly AttemptResult[],
): Promise<void> {
  const now = ports.clock.now();
  const [first, ...others] = results.flatMap((result) => recordAttempt(ports.db, result));
  if (first === undefined) return;
  const heldUntilMs = Math.max(...results.map(({ holdUntilMs }) => holdUntilMs ?? 0));
  const rest = heldUntilMs === 0 ? others : [...others, holdLane(ports.db, lane, heldUntilMs)];
  if (endpoint === undefined) {
    await ports.db.batch([first, ...rest]);
    return;
  }
  const failed = results.every(({ state }) => state !== "delivered");
  const health = noteHealth(ports.db, lane, failed ? now : null);
  const reason = reasonToDisable(endpoint, results, failed, now);
  if (reason === null) {
    await ports.db.batch([first, ...rest, health]);
    return;
  }
  const notice = newIdAt(ports, "event", now);
  await ports.db.batch([first, ...rest, health, ...disable(ports, endpoint, lane, reason, notice, now)]);
  await wakeLanes(ports, await findLanesOf(ports.db, [notice]));
}

function reasonToDisable(
  { failingSinceMs }: EndpointRow,
  results: readonly AttemptResult[],
  failed: boolean,
  nowMs: number,
): DisabledReason | null {
  if (results.some(({ status }) => status === GONE)) return "gone";
  const tooLong = failed && failingSinceMs !== null && nowMs - failingSinceMs >= FAILING_DISABLES_MS;
  return tooLong ? "failing" : null;
}

/**
 * Its waiting deliveries become exhausted. The account's other endpoints are told, once, and its audit log says so, which is
 * where an account without another endpoint finds it.
 */
function disable(
  ports: Source,
  { id, url, accountId }: EndpointRow,
  lane: Lane,
  reason: DisabledReason,
  notice: EventId,
  atMs: number,
): Statement[] {
  const type = "webhook_endpoint.disabled";
  const act = newAct(ports, { accountId, actor: "service", action: type, subject: id, detail: { reason } });
  const payload = JSON.stringify({
    type,
    timestamp: timestamp(atMs),
    data: { id, object: "webhook_endpoint", path: `/v1/webhook-endpoints/${id}`, url, reason },
  });
  return [
    disableEndpoint(ports.db, lane, reason, atMs),
    ...insertMessage(ports.db, { id: notice, accountId, type, payload, atMs }, sqlChanged, wants(type)),
    exhaustWaiting(ports.db, lane, `the endpoint was disabled: ${reason}`),
    recordAct(ports.db, act, isWritten(notice)),
  ];
}
