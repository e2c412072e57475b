// An account's keys as they are shown: one, or all, newest first, by pages.
import { findAccount } from "../../../db/queries/accounts.ts";
import { type ApiKeyRow, findApiKey, findApiKeys } from "../../../db/queries/keys.ts";
import type { ApiKey, ApiKeyPage, ListApiKeys } from "../../../shared/contract/keys.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { AccountId, KeyId } from "../../../shared/ids.ts";
import { timestamp } from "../clips/view.ts";
import type { Ports } from "../ports.ts";
import { noSuchKey } from "./reach.ts";

/** For the operator. Throws not_found for an account that does not exist. */
export async function listKeysOf(ports: Pick<Ports, "db" | "clock">, accountId: AccountId, wanted: ListApiKeys) {
  if ((await findAccount(ports.db, accountId)) === undefined)
    throw new ApiError("not_found", "There is no such account.");
  return await listKeys(ports, accountId, wanted);
}

export async function listKeys(
  ports: Pick<Ports, "db" | "clock">,
  accountId: AccountId,
  { limit, after }: ListApiKeys,
): Promise<ApiKeyPage> {
  const rows = await findApiKeys(ports.db, accountId, after ?? null, limit + 1);
  const data = rows.slice(0, limit).map((row) => viewKey(row, ports.clock.now()));
  return { data, next: rows.length > limit ? (data.at(-1)?.id ?? null) : null };
}

export async function getKey(ports: Pick<Ports, "db" | "clock">, accountId: AccountId, id: KeyId): Promise<ApiKey> {
  const row = await findApiKey(ports.db, id);
  if (row?.accountId !== accountId) throw noSuchKey();
  return viewKey(row, ports.clock.now());
}

export function viewKey(row: ApiKeyRow, nowMs: number): ApiKey {
  const time = (ms: number | null) => (ms === null ? null : timestamp(ms));
  const expired = row.expiresAtMs !== null && row.expiresAtMs <= nowMs;
  return {
    id: row.id,
    object: "api_key",
    name: row.name,
    prefix: row.shownPrefix,
    state: row.revokedAtMs !== null ? "revoked" : expired ? "expired" : "active",
    scopes: [...row.scopes],
    daily_cap_micros: row.dailyCapMicros,
    created_at: timestamp(row.createdAtMs),
    expires_at: time(row.expiresAtMs),
    revoked_at: time(row.revokedAtMs),
    last_used_at: time(row.lastUsedAtMs),
  };
}
