// Conditions for a statement of a batch that depends on the one before it.
import { type SQL, sql } from "drizzle-orm";
import type { EndpointId, EventId } from "../../../shared/ids.ts";
import { webhookEndpoints, webhookMessages } from "../../schema.ts";

/** The statement right before changed exactly one row. */
export const sqlChanged = sql`changes() = 1`;

export const always = sql`true`;

export function isEndpoint(id: EndpointId): SQL {
  return sql`${webhookEndpoints.id} = ${id}`;
}

/** The message was written earlier in the batch. */
export function isWritten(id: EventId): SQL {
  return sql`exists (select 1 from ${webhookMessages} where ${webhookMessages.id} = ${id})`;
}
