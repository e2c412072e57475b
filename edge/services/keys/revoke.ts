// Revokes an API key for good, and with it its browser tokens. Revoking it again changes nothing.
import { revokeApiKey } from "../../../db/queries/keys.ts";
import type { KeyId } from "../../../shared/ids.ts";
import type { Ports } from "../ports.ts";
import { type Authority, findWithin } from "./reach.ts";

/** Throws not_found or exceeds_own_key. */
export async function revokeKey(ports: Pick<Ports, "db" | "clock">, authority: Authority, id: KeyId): Promise<void> {
  await findWithin(ports, authority, id);
  await revokeApiKey(ports.db, id, ports.clock.now());
}
