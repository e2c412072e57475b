// How far who manages keys may go. A key reaches the keys of its account that have no more than itself: it can neither
// make a stronger one, nor take one over by changing it or by being told its next secret.
import { type ApiKeyRow, findApiKey } from "../../../db/queries/keys.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { KeyId } from "../../../shared/ids.ts";
import type { Ports } from "../ports.ts";

/** Whose request it is: a key's, or the operator's, who reaches everything. */
export type Authority = ApiKeyRow | "operator";

export type Grant = Pick<ApiKeyRow, "scopes" | "dailyCapMicros" | "expiresAtMs">;

/** Null is no bound at all. */
function isWithin(value: number | null, bound: number | null): boolean {
  return bound === null || (value !== null && value <= bound);
}

/** Throws exceeds_own_key, and names which of the three it is by its member of the request. */
export function requireWithin(authority: Authority, grant: Partial<Grant>): void {
  if (authority === "operator") return;
  const { scopes = [], dailyCapMicros = authority.dailyCapMicros, expiresAtMs = authority.expiresAtMs } = grant;
  const beyond = scopes.find((scope) => !authority.scopes.includes(scope));
  if (beyond !== undefined) {
    throw new ApiError("exceeds_own_key", `The calling key has not the scope ${beyond} itself.`, "/scopes");
  }
  if (!isWithin(dailyCapMicros, authority.dailyCapMicros)) {
    const detail = `The calling key's own cap is ${authority.dailyCapMicros} micro-dollars a day; give at most that.`;
    throw new ApiError("exceeds_own_key", detail, "/daily_cap_micros");
  }
  if (!isWithin(expiresAtMs, authority.expiresAtMs)) {
    throw new ApiError("exceeds_own_key", "The calling key expires sooner itself.", "/expires_at");
  }
}

/** One answer for absent keys and those of others alike. */
export function noSuchKey(): ApiError {
  return new ApiError("not_found", "There is no such API key.");
}

/** The key that is to be acted on. Throws not_found, or exceeds_own_key for one that is stronger than the caller. */
export async function findWithin(ports: Pick<Ports, "db">, authority: Authority, id: KeyId): Promise<ApiKeyRow> {
  const key = await findApiKey(ports.db, id);
  if (key === undefined) throw noSuchKey();
  if (authority === "operator") return key;
  if (key.accountId !== authority.accountId) throw noSuchKey();
  try {
    requireWithin(authority, key);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    throw new ApiError("exceeds_own_key", `The key has more than the calling one. ${error.message}`);
  }
  return key;
}

export function notActive(key: ApiKeyRow): ApiError {
  return new ApiError("key_not_active", `The API key ${key.shownPrefix} is revoked or has expired; make a new one.`);
}
