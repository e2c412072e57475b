// Identifiers: a prefix that names the kind and a lower-case ULID (48-bit milliseconds, 80 random bits,
// Crockford base 32; https://github.com/ulid/spec). Sorting by id is sorting by creation time, so ids
// serve as list cursors.
import * as z from "zod";

export const ID_PREFIXES = {
  clip: "clip",
  account: "acct",
  key: "key",
  token: "tok",
  runner: "rnr",
  event: "evt",
  transaction: "txn",
  endpoint: "whe",
  upload: "upl",
  audit: "aud",
  link: "lnk",
  trigger: "trg",
  delivery: "dlv",
  topUp: "top",
} as const;
export type IdKind = keyof typeof ID_PREFIXES;
export type Id<K extends IdKind> = string & { readonly __id: K };
export type ClipId = Id<"clip">;
export type AccountId = Id<"account">;
export type KeyId = Id<"key">;
export type TokenId = Id<"token">;
export type RunnerId = Id<"runner">;
export type EventId = Id<"event">;
export type TransactionId = Id<"transaction">;
export type EndpointId = Id<"endpoint">;
export type UploadId = Id<"upload">;
export type AuditId = Id<"audit">;
export type LinkId = Id<"link">;
export type TriggerId = Id<"trigger">;
export type DeliveryId = Id<"delivery">;
export type TopUpId = Id<"topUp">;

const CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz";
const ULID_TEXT = "[0-7][0-9a-hjkmnp-tv-z]{25}";

/** 26 characters: 10 of time (milliseconds since 1970), 16 of randomness (80 bits, 10 bytes). */
export function ulid(timeMs: number, random: Uint8Array): string {
  if (random.length !== 10) throw new RangeError(`a ULID takes 10 random bytes, got ${random.length}`);
  let text = "";
  let time = timeMs;
  for (let i = 0; i < 10; i++) {
    text = CROCKFORD.charAt(time % 32) + text;
    time = Math.floor(time / 32);
  }
  let bits = 0;
  let held = 0;
  for (const byte of random) {
    bits = (bits << 8) | byte;
    held += 8;
    while (held >= 5) {
      held -= 5;
      text += CROCKFORD.charAt((bits >> held) & 31);
    }
    bits &= (1 << held) - 1;
  }
  return text;
}

export function makeId<K extends IdKind>(kind: K, timeMs: number, random: Uint8Array): Id<K> {
  return `${ID_PREFIXES[kind]}_${ulid(timeMs, random)}` as Id<K>;
}

/** Milliseconds since 1970 at which the id was made. */
export function timeOfId<K extends IdKind>(id: Id<K>): number {
  const digits = id.slice(id.indexOf("_") + 1).slice(0, 10);
  let time = 0;
  for (const digit of digits) time = time * 32 + CROCKFORD.indexOf(digit);
  return time;
}

/** Before every id of this moment (milliseconds since 1970) and after every one before it. */
export function firstIdAt<K extends IdKind>(kind: K, timeMs: number): Id<K> {
  return makeId(kind, timeMs, new Uint8Array(10));
}

/** A schema for one kind of id; anything else is refused without saying whether it exists. */
export function idSchema<K extends IdKind>(kind: K) {
  const pattern = new RegExp(`^${ID_PREFIXES[kind]}_${ULID_TEXT}$`);
  return z
    .string()
    .regex(pattern, `must be an id like ${ID_PREFIXES[kind]}_01j9z3k4m5n6p7q8r9s0t1v2w3`)
    .transform((text) => text as Id<K>);
}
