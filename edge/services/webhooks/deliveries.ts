// How the telling went, and telling again.
import {
  type DeliveryCursor,
  findAttempts,
  findDeliveries,
  findLanesOf,
  hasMessage,
  type ListedDelivery,
  replayDeliveries,
} from "../../../db/queries/webhooks/deliveries.ts";
import type { AttemptList, Delivery, DeliveryPage, ListDeliveries } from "../../../shared/contract/webhooks.ts";
import { ApiError } from "../../../shared/errors.ts";
import { type AccountId, type EndpointId, type EventId, idSchema } from "../../../shared/ids.ts";
import { timestamp } from "../clips/view.ts";
import type { Ports } from "../ports.ts";
import { wakeLanes } from "./wake.ts";

const ATTEMPTS_SHOWN = 200;
const endpointId = idSchema("endpoint");

function endpointOf(lane: string): EndpointId | null {
  const parsed = endpointId.safeParse(lane);
  return parsed.success ? parsed.data : null;
}

function view(row: ListedDelivery): Delivery {
  return {
    event_id: row.messageId,
    type: row.type,
    clip_id: row.clipId,
    endpoint_id: endpointOf(row.lane),
    url: row.url,
    state: row.state,
    attempts: row.attempts,
    next_attempt_at: row.state === "pending" ? timestamp(row.nextAttemptAtMs) : null,
    last_status: row.lastStatus,
    last_error: row.lastError,
    created_at: timestamp(row.createdAtMs),
  };
}

/** Cursors are `<event id>.<lane>`. */
function parseCursor(after: string | undefined): DeliveryCursor | null {
  if (after === undefined) return null;
  const dot = after.indexOf(".");
  if (dot < 0) throw new ApiError("invalid_request", "`after` is the `next` of the page before.", "/after");
  return { messageId: after.slice(0, dot), lane: after.slice(dot + 1) };
}

export async function listDeliveries(
  ports: Pick<Ports, "db">,
  accountId: AccountId,
  { limit, after, state }: ListDeliveries,
): Promise<DeliveryPage> {
  const rows = await findDeliveries(ports.db, accountId, state ?? null, parseCursor(after), limit + 1);
  const shown = rows.slice(0, limit);
  const last = rows.length > limit ? shown.at(-1) : undefined;
  return { data: shown.map(view), next: last === undefined ? null : `${last.messageId}.${last.lane}` };
}

async function requireMessage(ports: Pick<Ports, "db">, accountId: AccountId, id: EventId): Promise<void> {
  if (!(await hasMessage(ports.db, accountId, id))) throw new ApiError("not_found", "There is no such webhook event.");
}

/** The newest first. */
export async function listAttempts(ports: Pick<Ports, "db">, accountId: AccountId, id: EventId): Promise<AttemptList> {
  await requireMessage(ports, accountId, id);
  const rows = await findAttempts(ports.db, accountId, id, ATTEMPTS_SHOWN);
  const data = rows.map(({ lane, attempt, atMs, durationMs, status, error, answer }) => ({
    endpoint_id: endpointOf(lane),
    attempt,
    at: timestamp(atMs),
    duration_ms: durationMs,
    status,
    error,
    answer,
  }));
  return { data };
}

/** The same bytes under the same webhook-id, from the start of the schedule. How many deliveries that makes. */
export async function replayMessage(
  ports: Pick<Ports, "db" | "clock" | "bell" | "outboxes">,
  accountId: AccountId,
  id: EventId,
): Promise<number> {
  await requireMessage(ports, accountId, id);
  const replayed = await replayDeliveries(ports.db, accountId, id, ports.clock.now());
  await wakeLanes(ports, await findLanesOf(ports.db, [id]));
  return replayed;
}
