// Secrets that sign: one is current, those that it replaced still sign until their overlap is over, so that a receiver
// can change over at any moment in between.

import type { Statement } from "../../../db/queries/transitions.ts";
import { expireSecrets, insertSecret, type SecretRow, selectSecrets } from "../../../db/queries/webhooks/secrets.ts";
import type { IssuedSecret } from "../../../shared/contract/webhooks.ts";
import type { AccountId, EndpointId, TriggerId } from "../../../shared/ids.ts";
import { ulid } from "../../../shared/ids.ts";
import { timestamp } from "../clips/view.ts";
import { base64 } from "../encoding.ts";
import type { Ports } from "../ports.ts";

const SECRET_BYTES = 32;
const ULID_RANDOM_BYTES = 10;

export type SecretOwner = EndpointId | AccountId | TriggerId;
type Source = Pick<Ports, "db" | "clock" | "random" | "vault">;

export async function newSecret(ports: Source, owner: SecretOwner): Promise<{ secret: string; insert: Statement }> {
  const secret = `whsec_${base64(ports.random.bytes(SECRET_BYTES))}`;
  return { secret, insert: insertSecret(ports.db, await sealSecret(ports, owner, secret)) };
}

/** The row that gives an owner this secret. */
export async function sealSecret(ports: Source, owner: SecretOwner, secret: string): Promise<SecretRow> {
  const createdAtMs = ports.clock.now();
  const id = ulid(createdAtMs, ports.random.bytes(ULID_RANDOM_BYTES));
  const sealed = await ports.vault.seal(secret, owner);
  return { id, owner, sealed, createdAtMs, expiresAtMs: null };
}

/** The owner has a new secret; what it had before signs as well for this long. */
export async function rotateSecret(ports: Source, owner: SecretOwner, overlapMs: number): Promise<IssuedSecret> {
  const now = ports.clock.now();
  const had = (await selectSecrets(ports.db, owner, now)).length > 0;
  const { secret, insert } = await newSecret(ports, owner);
  await ports.db.batch([...expireSecrets(ports.db, owner, now, now + overlapMs), insert]);
  return { secret, previous_expires_at: had ? timestamp(now + overlapMs) : null };
}

/**
 * What signs, in the order of the rows. A secret that no key of the deployment opens signs nothing: the operator is told,
 * and what it should have signed goes on by its schedule instead of holding up its lane.
 */
export async function openSecrets(
  { vault, log }: Pick<Ports, "vault" | "log">,
  rows: readonly SecretRow[],
): Promise<string[]> {
  const opened = await Promise.allSettled(rows.map(async ({ owner, sealed }) => await vault.open(sealed, owner)));
  return opened.flatMap((one, i) => {
    if (one.status === "fulfilled") return [one.value];
    log("error", "a webhook secret does not open; does ENCRYPTION_KEYS lack a key?", { owner: rows[i]?.owner });
    return [];
  });
}
