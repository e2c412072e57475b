// Revokes an API key for good, and with it its browser tokens. Revoking it again changes nothing.
import { revokeApiKey } from "../../../db/queries/keys.ts";
import type { KeyId } from "../../../shared/ids.ts";
import { type AuditSource, actorOf, newAct } from "../audit.ts";
import type { Ports } from "../ports.ts";
import { type Authority, findWithin } from "./reach.ts";

/** Throws not_found or exceeds_own_key. */
export async function revokeKey(
  ports: AuditSource & Pick<Ports, "db">,
  authority: Authority,
  id: KeyId,
): Promise<void> {
  const { accountId } = await findWithin(ports, authority, id);
  const actor = actorOf(authority);
  const act = newAct(ports, { accountId, actor, action: "key.revoked", subject: id, detail: {} });
  await revokeApiKey(ports.db, id, ports.clock.now(), act);
}
