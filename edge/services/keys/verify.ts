// Who asks: from a presented API key to its account.
import { type ApiKeyRow, findOpenable } from "../../../db/queries/keys.ts";
import type { BrowserTokenRow } from "../../../db/queries/tokens.ts";
import type { Scope } from "../../../shared/contract/keys.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { AccountId, KeyId, TokenId } from "../../../shared/ids.ts";
import { API_KEY, credentialId, hashCredential } from "../credential.ts";
import { equalInConstantTime } from "../encoding.ts";
import type { Ports } from "../ports.ts";

/** Whom an order is for, and who pays. */
export interface Caller {
  readonly accountId: AccountId;
  readonly keyId: KeyId;
  /** The browser token that speaks for the key; null where the key speaks for itself. */
  readonly tokenId: TokenId | null;
}

/** What was presented, and what it opens. */
export interface Bearer extends Caller {
  readonly scopes: readonly Scope[];
  readonly key: ApiKeyRow;
  readonly token: BrowserTokenRow | null;
}

type Source = Pick<Ports, "db" | "clock" | "digest">;

/** Reads the key on every request: one that was revoked is refused from the next request on. */
export async function verifyKey(ports: Source, presented: string): Promise<Bearer> {
  const id = credentialId(API_KEY, presented);
  const found = id === null ? undefined : await findOpenable(ports.db, id);
  const sha256 = await hashCredential(ports, presented);
  const secret = found?.secrets.find((known) => equalInConstantTime(known.sha256, sha256));
  if (found === undefined || secret === undefined) {
    throw new ApiError("unauthenticated", "The API key is not valid.");
  }
  const { key } = found;
  requireActive(key, ports.clock.now());
  if (secret.expiresAtMs !== null && secret.expiresAtMs <= ports.clock.now()) {
    throw new ApiError("key_expired", `The API key ${key.shownPrefix} was rotated; use its newer secret.`);
  }
  return { accountId: key.accountId, keyId: key.id, tokenId: null, scopes: key.scopes, key, token: null };
}

/** Throws key_revoked or key_expired. */
export function requireActive(row: ApiKeyRow, nowMs: number): void {
  if (row.revokedAtMs !== null) throw new ApiError("key_revoked", `The API key ${row.shownPrefix} was revoked.`);
  if (row.expiresAtMs !== null && row.expiresAtMs <= nowMs) {
    throw new ApiError("key_expired", `The API key ${row.shownPrefix} has expired.`);
  }
}
