// By what a delivery that comes again is known: senders repeat what they got no answer to.
import { LIMITS } from "../../../shared/contract/clips.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { Posted } from "./sender.ts";

/** The first of these that there is. Those who send none are not told from somebody who means it twice. */
export const DELIVERY_KEY_HEADERS = ["idempotency-key", "x-github-delivery", "webhook-id"] as const;

const VISIBLE_ASCII = /^[\x21-\x7e]+$/;

/** Null where the sender names none. Throws invalid_request. */
export function deliveryKey({ header }: Pick<Posted, "header">): string | null {
  const name = DELIVERY_KEY_HEADERS.find((candidate) => header(candidate) !== null);
  const key = name === undefined ? null : header(name);
  if (name === undefined || key === null) return null;
  if (!isKey(key)) {
    const most = LIMITS.idempotencyKeyCharacters;
    throw new ApiError("invalid_request", `${name} must be 1 to ${most} visible ASCII characters.`);
  }
  return key;
}

function isKey(text: string): boolean {
  return VISIBLE_ASCII.test(text) && text.length <= LIMITS.idempotencyKeyCharacters;
}

/** For the log: null also where what the sender named cannot be one. */
export function loggedKey(posted: Pick<Posted, "header">): string | null {
  const key = DELIVERY_KEY_HEADERS.map((name) => posted.header(name)).find((value) => value !== null) ?? null;
  return key !== null && isKey(key) ? key : null;
}
