// Conditions for a statement of a batch that depends on the one before it.
import { type SQL, sql } from "drizzle-orm";
import type { EndpointId } from "../../../shared/ids.ts";
import { webhookEndpoints } from "../../schema.ts";

/** The statement right before changed exactly one row. */
export const sqlChanged = sql`changes() = 1`;

export const always = sql`true`;

export function isEndpoint(id: EndpointId): SQL {
  return sql`${webhookEndpoints.id} = ${id}`;
}
