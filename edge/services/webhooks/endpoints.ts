// Endpoints as their owner sets them up.

import type { Statement } from "../../../db/queries/transitions.ts";
import { findLanesOf, insertMessage } from "../../../db/queries/webhooks/deliveries.ts";
import {
  deleteEndpoint,
  disableEndpoint,
  type EndpointRow,
  enableEndpoint,
  exhaustWaiting,
  findEndpoint,
  findEndpoints,
  insertEndpoint,
  updateEndpoint,
} from "../../../db/queries/webhooks/endpoints.ts";
import { always, isEndpoint } from "../../../db/queries/webhooks/guards.ts";
import { dropSecrets } from "../../../db/queries/webhooks/secrets.ts";
import type { Lane } from "../../../db/schema.ts";
import {
  type CreateEndpoint,
  type Endpoint,
  type IssuedEndpoint,
  type IssuedSecret,
  type UpdateEndpoint,
  WEBHOOK_LIMITS,
} from "../../../shared/contract/webhooks.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { AccountId, EndpointId, EventId } from "../../../shared/ids.ts";
import { timestamp } from "../clips/view.ts";
import { newIdAt } from "../identifiers.ts";
import type { Ports } from "../ports.ts";
import { checkTarget } from "./guard.ts";
import { newSecret, rotateSecret } from "./secrets.ts";
import { wakeLanes } from "./wake.ts";

/** One answer for absent and foreign endpoints alike. */
function noSuchEndpoint(): ApiError {
  return new ApiError("not_found", "There is no such webhook endpoint.");
}

function laneOf(id: EndpointId): Lane {
  return id as string as Lane;
}

function at(timeMs: number | null): string | null {
  return timeMs === null ? null : timestamp(timeMs);
}

function view(row: EndpointRow): Endpoint {
  return {
    id: row.id,
    object: "webhook_endpoint",
    url: row.url,
    events: row.events === null ? null : [...row.events],
    enabled: row.disabledAtMs === null,
    disabled_reason: row.disabledReason,
    disabled_at: at(row.disabledAtMs),
    failing_since: at(row.failingSinceMs),
    created_at: timestamp(row.createdAtMs),
  };
}

/** Throws invalid_request for a URL that must not be posted to, or one endpoint too many. */
export async function createEndpoint(
  ports: Ports,
  accountId: AccountId,
  request: CreateEndpoint,
): Promise<IssuedEndpoint> {
  const url = await checkTarget(ports, request.url, "/url");
  const createdAtMs = ports.clock.now();
  const id = newIdAt(ports, "endpoint", createdAtMs);
  const state = { disabledReason: null, disabledAtMs: null, failingSinceMs: null };
  const row: EndpointRow = { id, accountId, url, events: request.events, ...state, createdAtMs };
  const { secret, insert } = await newSecret(ports, id);
  const [inserted] = await ports.db.batch([insertEndpoint(ports.db, row, WEBHOOK_LIMITS.endpointsPerAccount), insert]);
  if ((inserted as D1Result).meta.changes === 0) {
    await ports.db.batch([dropSecrets(ports.db, id)]);
    const detail = `An account has at most ${WEBHOOK_LIMITS.endpointsPerAccount} webhook endpoints; delete one first.`;
    throw new ApiError("invalid_request", detail);
  }
  return { ...view(row), secret };
}

export async function listEndpoints(ports: Pick<Ports, "db">, accountId: AccountId): Promise<{ data: Endpoint[] }> {
  return { data: (await findEndpoints(ports.db, accountId)).map(view) };
}

export async function getEndpoint(ports: Pick<Ports, "db">, accountId: AccountId, id: EndpointId): Promise<Endpoint> {
  const row = await findEndpoint(ports.db, accountId, id);
  if (row === undefined) throw noSuchEndpoint();
  return view(row);
}

/** Disabling lists what waits as exhausted; enabling makes it replayable, and forgets that it was failing. */
export async function changeEndpoint(
  ports: Ports,
  accountId: AccountId,
  id: EndpointId,
  request: UpdateEndpoint,
): Promise<Endpoint> {
  await getEndpoint(ports, accountId, id);
  const lane = laneOf(id);
  const set = {
    ...(request.url !== undefined && { url: await checkTarget(ports, request.url, "/url") }),
    ...(request.events !== undefined && { events: request.events }),
  };
  const statements: Statement[] = Object.keys(set).length === 0 ? [] : updateEndpoint(ports.db, accountId, id, set);
  if (request.enabled === true) statements.push(enableEndpoint(ports.db, accountId, id));
  if (request.enabled === false) {
    statements.push(disableEndpoint(ports.db, lane, "requested", ports.clock.now()));
    statements.push(exhaustWaiting(ports.db, lane, "the endpoint was disabled: requested"));
  }
  const [first, ...rest] = statements;
  if (first !== undefined) await ports.db.batch([first, ...rest]);
  return await getEndpoint(ports, accountId, id);
}

export async function removeEndpoint(ports: Pick<Ports, "db">, accountId: AccountId, id: EndpointId): Promise<void> {
  await getEndpoint(ports, accountId, id);
  await ports.db.batch([
    deleteEndpoint(ports.db, accountId, id),
    dropSecrets(ports.db, id),
    exhaustWaiting(ports.db, laneOf(id), "the endpoint was deleted"),
  ]);
}

export async function rotateEndpointSecret(
  ports: Ports,
  accountId: AccountId,
  id: EndpointId,
  overlapMs: number,
): Promise<IssuedSecret> {
  await getEndpoint(ports, accountId, id);
  return await rotateSecret(ports, id, overlapMs);
}

/** A message to this endpoint alone, delivered and logged as any other. Throws invalid_request if it is disabled. */
export async function sendTest(ports: Ports, accountId: AccountId, id: EndpointId): Promise<EventId> {
  const endpoint = await getEndpoint(ports, accountId, id);
  if (!endpoint.enabled) throw new ApiError("invalid_request", "The webhook endpoint is disabled; enable it first.");
  const atMs = ports.clock.now();
  const event = newIdAt(ports, "event", atMs);
  const payload = JSON.stringify({ type: "webhook.test", timestamp: timestamp(atMs), data: { endpoint_id: id } });
  const message = { id: event, accountId, type: "webhook.test", payload, atMs } as const;
  await ports.db.batch(insertMessage(ports.db, message, always, isEndpoint(id)));
  await wakeLanes(ports, await findLanesOf(ports.db, [event]));
  return event;
}
