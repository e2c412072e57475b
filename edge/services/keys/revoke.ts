// Revokes an API key for good. Revoking it again changes nothing.
import { findApiKey, revokeApiKey } from "../../../db/queries/accounts.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { KeyId } from "../../../shared/ids.ts";
import type { Ports } from "../ports.ts";

export async function revokeKey(ports: Pick<Ports, "db" | "clock">, id: KeyId): Promise<void> {
  if ((await findApiKey(ports.db, id)) === undefined) throw new ApiError("not_found", "There is no such API key.");
  await revokeApiKey(ports.db, id, ports.clock.now());
}
