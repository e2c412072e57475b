// Who asks: from a presented API key to its account.
import { findApiKey } from "../../../db/queries/accounts.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { AccountId, KeyId } from "../../../shared/ids.ts";
import { API_KEY, credentialId, hashCredential } from "../credential.ts";
import { equalInConstantTime } from "../encoding.ts";
import type { Ports } from "../ports.ts";

export interface Caller {
  readonly accountId: AccountId;
  readonly keyId: KeyId;
}

/** Reads the key on every request: one that was revoked is refused from the next request on. */
export async function verifyKey(ports: Pick<Ports, "db" | "clock" | "digest">, presented: string): Promise<Caller> {
  const id = credentialId(API_KEY, presented);
  const row = id === null ? undefined : await findApiKey(ports.db, id);
  if (row === undefined || !equalInConstantTime(row.sha256, await hashCredential(ports, presented))) {
    throw new ApiError("unauthenticated", "The API key is not valid.");
  }
  if (row.revokedAtMs !== null) throw new ApiError("key_revoked", `The API key ${row.shownPrefix} was revoked.`);
  if (row.expiresAtMs !== null && row.expiresAtMs <= ports.clock.now()) {
    throw new ApiError("key_expired", `The API key ${row.shownPrefix} has expired.`);
  }
  return { accountId: row.accountId, keyId: row.id };
}
