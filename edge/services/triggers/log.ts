// What became of the deliveries of a trigger, for its owner: never the body, and only for a time.
import { violatedConstraint } from "../../../db/database.ts";
import type { Statement } from "../../../db/queries/transitions.ts";
import { commitAll } from "../../../db/queries/transitions.ts";
import {
  dropDeliveries,
  findDeliveries,
  findOldestDelivery,
  recordDelivery,
  type TriggerDeliveryRow,
} from "../../../db/queries/triggers/deliveries.ts";
import {
  type ListTriggerDeliveries,
  TRIGGER_LIMITS,
  type TriggerDelivery,
  type TriggerDeliveryPage,
} from "../../../shared/contract/triggers.ts";
import type { TriggerId } from "../../../shared/ids.ts";
import { timestamp } from "../clips/view.ts";
import { HOUSEKEEPING_MS } from "../housekeeping.ts";
import { newIdAt } from "../identifiers.ts";
import type { Ports } from "../ports.ts";
import { loggedKey } from "./delivery-key.ts";
import type { Posted } from "./sender.ts";

type Result = Pick<TriggerDeliveryRow, "outcome"> & Partial<Pick<TriggerDeliveryRow, "clipId" | "code" | "detail">>;

export function newDelivery(
  ports: Pick<Ports, "clock" | "random">,
  { id: triggerId }: { readonly id: TriggerId },
  posted: Posted,
  { outcome, clipId = null, code = null, detail = null }: Result,
): TriggerDeliveryRow {
  const createdAtMs = ports.clock.now();
  const id = newIdAt(ports, "delivery", createdAtMs);
  return { id, triggerId, outcome, clipId, code, detail, deliveryKey: loggedKey(posted), createdAtMs };
}

/** For the batch of the order. */
export function recordOrdered(ports: Pick<Ports, "db">, row: TriggerDeliveryRow): Statement[] {
  return recordDelivery(ports.db, row, TRIGGER_LIMITS.deliveriesKept);
}

/** Of a delivery that orders nothing. One to a trigger that is deleted meanwhile leaves no trace, as the trigger does. */
export async function noteDelivery(
  ports: Pick<Ports, "db" | "bell" | "times">,
  row: TriggerDeliveryRow,
): Promise<void> {
  try {
    await commitAll(ports.db, recordDelivery(ports.db, row, TRIGGER_LIMITS.deliveriesKept));
  } catch (error) {
    if (violatedConstraint(error) !== "trigger_deliveries.trigger_id") throw error;
  }
  await ports.bell.wakeBy(row.createdAtMs + ports.times.messagesKeptMs);
}

/** Newest first. */
export async function listTriggerDeliveries(
  ports: Pick<Ports, "db">,
  id: TriggerId,
  { limit, after }: ListTriggerDeliveries,
): Promise<TriggerDeliveryPage> {
  const rows = await findDeliveries(ports.db, id, after ?? null, limit + 1);
  const data = rows.slice(0, limit).map(view);
  return { data, next: rows.length > limit ? (data.at(-1)?.id ?? null) : null };
}

function view(row: TriggerDeliveryRow): TriggerDelivery {
  return {
    id: row.id,
    object: "trigger_delivery",
    outcome: row.outcome,
    clip_id: row.clipId,
    code: row.code,
    detail: row.detail,
    delivery_key: row.deliveryKey,
    created_at: timestamp(row.createdAtMs),
  };
}

const DROPPED_PER_SWEEP = 500;

/** Drops deliveries as old as webhook messages may become. Returns when to come back, or null when none is kept. */
export async function forgetTriggerDeliveries(ports: Pick<Ports, "db" | "clock" | "times">): Promise<number | null> {
  const now = ports.clock.now();
  const dropped = await dropDeliveries(ports.db, now - ports.times.messagesKeptMs, DROPPED_PER_SWEEP);
  if (dropped === DROPPED_PER_SWEEP) return now;
  const oldest = await findOldestDelivery(ports.db);
  return oldest === null ? null : Math.max(oldest + ports.times.messagesKeptMs + 1, now + HOUSEKEEPING_MS);
}
