// Issues an API key. The key itself is in the answer and nowhere else.
import { findAccount } from "../../../db/queries/accounts.ts";
import { type ApiKeyRow, insertApiKey } from "../../../db/queries/keys.ts";
import { DEFAULT_SCOPES, KEY_LIMITS, type Scope } from "../../../shared/contract/keys.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { AccountId, KeyId } from "../../../shared/ids.ts";
import type { Micros } from "../../../shared/pricing.ts";
import { type AuditSource, actorOf, newAct } from "../audit.ts";
import { timestamp } from "../clips/view.ts";
import { API_KEY, issueCredential } from "../credential.ts";
import type { Ports } from "../ports.ts";
import { type Authority, requireWithin } from "./reach.ts";

export interface IssuedKey {
  readonly id: KeyId;
  readonly key: string;
  readonly shownPrefix: string;
  readonly row: ApiKeyRow;
}

export interface WantedKey {
  readonly name: string;
  readonly expiresAtMs: number | null;
  readonly dailyCapMicros: Micros | null;
  readonly scopes?: readonly Scope[];
}

type Source = AuditSource & Pick<Ports, "db" | "digest">;

/** Throws not_found, invalid_request for an expiry in the past, or too_many_keys. */
export async function issueKey(
  ports: Source,
  accountId: AccountId,
  wanted: WantedKey,
  by: Authority = "operator",
): Promise<IssuedKey> {
  if ((await findAccount(ports.db, accountId)) === undefined)
    throw new ApiError("not_found", "There is no such account.");
  const { id, secret, shownPrefix, sha256 } = await issueCredential(ports, API_KEY);
  const { name, expiresAtMs, dailyCapMicros, scopes = DEFAULT_SCOPES } = wanted;
  const createdAtMs = ports.clock.now();
  if (expiresAtMs !== null && expiresAtMs <= createdAtMs) {
    throw new ApiError("invalid_request", "/expires_at: must be in the future", "/expires_at");
  }
  const row: ApiKeyRow = {
    id,
    accountId,
    name,
    shownPrefix,
    scopes,
    createdAtMs,
    expiresAtMs,
    revokedAtMs: null,
    dailyCapMicros,
    lastUsedAtMs: null,
  };
  const act = newAct(ports, {
    accountId,
    actor: actorOf(by),
    action: "key.created",
    subject: id,
    detail: {
      name,
      scopes,
      daily_cap_micros: dailyCapMicros,
      expires_at: expiresAtMs === null ? null : timestamp(expiresAtMs),
    },
  });
  if (!(await insertApiKey(ports.db, row, sha256, KEY_LIMITS.active, act))) {
    const detail = `An account has at most ${KEY_LIMITS.active} active keys; revoke one that is not used.`;
    throw new ApiError("too_many_keys", detail);
  }
  return { id, key: secret, shownPrefix, row };
}

/** For a customer's key: what is left open is as with itself. Throws exceeds_own_key as well. */
export async function issueKeyBy(
  ports: Source,
  own: ApiKeyRow,
  wanted: Pick<WantedKey, "name"> & { readonly scopes: readonly Scope[] } & Partial<WantedKey>,
): Promise<IssuedKey> {
  const { name, scopes, expiresAtMs = own.expiresAtMs, dailyCapMicros = own.dailyCapMicros } = wanted;
  requireWithin(own, { scopes, expiresAtMs, dailyCapMicros });
  return await issueKey(ports, own.accountId, { name, scopes, expiresAtMs, dailyCapMicros }, own);
}
