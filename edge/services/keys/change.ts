// Changes an API key: its name, what it may do, and what it may spend in a day within the cap of its account. From the
// next request on.
import { type ApiKeyRow, changeApiKey, type KeyChange } from "../../../db/queries/keys.ts";
import type { KeyId } from "../../../shared/ids.ts";
import { type AuditSource, actorOf, newAct } from "../audit.ts";
import type { Ports } from "../ports.ts";
import { type Authority, findWithin, notActive, requireWithin } from "./reach.ts";

/** What is left out stays as it is. Throws not_found, exceeds_own_key or key_not_active. */
export async function changeKey(
  ports: AuditSource & Pick<Ports, "db">,
  authority: Authority,
  id: KeyId,
  change: KeyChange,
): Promise<ApiKeyRow> {
  const key = await findWithin(ports, authority, id);
  requireWithin(authority, change);
  const { dailyCapMicros, ...rest } = change;
  const act = newAct(ports, {
    accountId: key.accountId,
    actor: actorOf(authority),
    action: "key.changed",
    subject: id,
    detail: { ...rest, ...(dailyCapMicros !== undefined && { daily_cap_micros: dailyCapMicros }) },
  });
  const changed = await changeApiKey(ports.db, id, change, ports.clock.now(), act);
  if (changed === undefined) throw notActive(key);
  return changed;
}
