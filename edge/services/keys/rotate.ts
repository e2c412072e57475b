// Gives an API key a new secret; those before it stay good for a while, so that nothing stands still meanwhile. A
// rotation whose answer was lost is done again with the old secret: the lost one ends with the old ones.
import { type ApiKeyRow, rotateApiKey } from "../../../db/queries/keys.ts";
import { KEY_LIMITS } from "../../../shared/contract/keys.ts";
import type { KeyId } from "../../../shared/ids.ts";
import { type AuditSource, actorOf, newAct } from "../audit.ts";
import { API_KEY, reissueCredential } from "../credential.ts";
import type { Ports } from "../ports.ts";
import { type Authority, findWithin, notActive } from "./reach.ts";

/** Throws not_found, exceeds_own_key or key_not_active. */
export async function rotateKey(
  ports: AuditSource & Pick<Ports, "db" | "digest">,
  authority: Authority,
  id: KeyId,
  overlapMs: number,
): Promise<{ readonly row: ApiKeyRow; readonly key: string }> {
  const row = await findWithin(ports, authority, id);
  const { secret, sha256 } = await reissueCredential(ports, API_KEY, id);
  const createdAtMs = ports.clock.now();
  const rotation = {
    secret: { sha256, createdAtMs },
    oldUntilMs: createdAtMs + overlapMs,
    maxSecrets: KEY_LIMITS.secrets,
  };
  const act = newAct(ports, {
    accountId: row.accountId,
    actor: actorOf(authority),
    action: "key.rotated",
    subject: id,
    detail: { overlap_seconds: overlapMs / 1_000 },
  });
  const rotated = await rotateApiKey(ports.db, id, rotation, act);
  if (!rotated) throw notActive(row);
  return { row, key: secret };
}
