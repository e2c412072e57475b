// Issues an API key. The key itself is in the answer and nowhere else.
import { findAccount, insertApiKey } from "../../../db/queries/accounts.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { AccountId, KeyId } from "../../../shared/ids.ts";
import type { Micros } from "../../../shared/pricing.ts";
import { API_KEY, issueCredential } from "../credential.ts";
import type { Ports } from "../ports.ts";

export interface IssuedKey {
  readonly id: KeyId;
  readonly key: string;
  readonly shownPrefix: string;
}

export async function issueKey(
  ports: Pick<Ports, "db" | "clock" | "random" | "digest">,
  accountId: AccountId,
  wanted: { readonly name: string; readonly expiresAtMs: number | null; readonly dailyCapMicros: Micros | null },
): Promise<IssuedKey> {
  if ((await findAccount(ports.db, accountId)) === undefined)
    throw new ApiError("not_found", "There is no such account.");
  const { id, secret, shownPrefix, sha256 } = await issueCredential(ports, API_KEY);
  const { name, expiresAtMs, dailyCapMicros } = wanted;
  const createdAtMs = ports.clock.now();
  await insertApiKey(ports.db, {
    id,
    accountId,
    name,
    shownPrefix,
    sha256,
    createdAtMs,
    expiresAtMs,
    revokedAtMs: null,
    dailyCapMicros,
  });
  return { id, key: secret, shownPrefix };
}
