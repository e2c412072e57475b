// The URLs of triggers: who has one can post to it, so each is a secret, of which only the hash is kept.

import type { ApiKeyRow } from "../../../db/queries/keys.ts";
import { findOpenableTrigger, rotateTriggerUrl, type TriggerRow } from "../../../db/queries/triggers/triggers.ts";
import { TRIGGER_LIMITS } from "../../../shared/contract/triggers.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { TriggerId } from "../../../shared/ids.ts";
import { credentialId, hashCredential, reissueCredential, TRIGGER_TOKEN } from "../credential.ts";
import { equalInConstantTime } from "../encoding.ts";
import type { Ports } from "../ports.ts";

export interface OpenTrigger {
  readonly trigger: TriggerRow;
  /** With which it orders. */
  readonly key: ApiKeyRow;
}

/** As any address that has nothing: what is not this trigger's sender is told no more. */
export function nothingHere(): ApiError {
  return new ApiError("not_found", "There is nothing at this address.");
}

/** Throws not_found. Whether the trigger takes anything at the moment is another question. */
export async function openTrigger(
  ports: Pick<Ports, "db" | "clock" | "digest">,
  presented: string,
): Promise<OpenTrigger> {
  const id = credentialId(TRIGGER_TOKEN, presented);
  const found = id === null ? undefined : await findOpenableTrigger(ports.db, id);
  const sha256 = await hashCredential(ports, presented);
  const url = found?.urls.find((known) => equalInConstantTime(known.sha256, sha256));
  if (found === undefined || url === undefined) throw nothingHere();
  if (url.expiresAtMs !== null && url.expiresAtMs <= ports.clock.now()) throw nothingHere();
  return { trigger: found.trigger, key: found.key };
}

/** To be shown once and then forgotten. */
export async function newAddress(
  ports: Pick<Ports, "random" | "digest" | "publicOrigin">,
  id: TriggerId,
): Promise<{ readonly url: string; readonly sha256: string }> {
  const { secret, sha256 } = await reissueCredential(ports, TRIGGER_TOKEN, id);
  return { url: `${ports.publicOrigin}/t/${secret}`, sha256 };
}

/** A new URL for a trigger that is there; those before it stay good for a while. A lost answer is made up for by another. */
export async function rotateAddress(
  ports: Pick<Ports, "db" | "clock" | "random" | "digest" | "publicOrigin">,
  id: TriggerId,
  overlapMs: number,
): Promise<string> {
  const { url, sha256 } = await newAddress(ports, id);
  const createdAtMs = ports.clock.now();
  await rotateTriggerUrl(ports.db, id, {
    url: { sha256, createdAtMs },
    oldUntilMs: createdAtMs + overlapMs,
    maxUrls: TRIGGER_LIMITS.urls,
  });
  return url;
}
