// The bearer secrets that we issue: `<prefix>_<ULID of the id>_<32 random bytes in base 62>_<crc32>`. The
// ULID finds the row, the random bytes are the secret, the checksum refuses typing mistakes for free. Only
// the SHA-256 of the whole text is kept; a fast hash is enough for 256 bits of randomness.
import { ID_PREFIXES, type Id, type IdKind } from "../../shared/ids.ts";
import { base62, crc32, hex } from "./encoding.ts";
import { newId } from "./identifiers.ts";
import type { Ports } from "./ports.ts";

const SECRET_BYTES = 32;

export interface CredentialKind<K extends IdKind> {
  readonly prefix: string;
  readonly idKind: K;
}

export const API_KEY = { prefix: "tc_live", idKind: "key" } as const satisfies CredentialKind<IdKind>;
export const BROWSER_TOKEN = { prefix: "tc_web", idKind: "token" } as const satisfies CredentialKind<IdKind>;
export const TRIGGER_TOKEN = { prefix: "tc_hook", idKind: "trigger" } as const satisfies CredentialKind<IdKind>;
export const RUNNER_TOKEN = { prefix: "tcr", idKind: "runner" } as const satisfies CredentialKind<IdKind>;

export interface IssuedCredential<K extends IdKind> {
  readonly id: Id<K>;
  /** To be shown once and then forgotten. */
  readonly secret: string;
  readonly shownPrefix: string;
  readonly sha256: string;
}

type Source = Pick<Ports, "clock" | "random" | "digest">;

export async function issueCredential<K extends IdKind>(
  ports: Source,
  kind: CredentialKind<K>,
): Promise<IssuedCredential<K>> {
  return await reissueCredential(ports, kind, newId(ports, kind.idKind));
}

/** Another secret for an id that has one. */
export async function reissueCredential<K extends IdKind>(
  ports: Pick<Source, "random" | "digest">,
  kind: CredentialKind<K>,
  id: Id<K>,
): Promise<IssuedCredential<K>> {
  const shownPrefix = `${kind.prefix}_${id.slice(ID_PREFIXES[kind.idKind].length + 1)}`;
  const body = `${shownPrefix}_${base62(ports.random.bytes(SECRET_BYTES))}`;
  const secret = `${body}_${crc32(body)}`;
  return { id, secret, shownPrefix, sha256: await hashCredential(ports, secret) };
}

export async function hashCredential(ports: Pick<Ports, "digest">, secret: string): Promise<string> {
  return hex(await ports.digest.sha256(secret));
}

/** The id that a well-formed credential names, or null; whether it is genuine only its hash can tell. */
export function credentialId<K extends IdKind>(kind: CredentialKind<K>, secret: string): Id<K> | null {
  const match = new RegExp(`^(${kind.prefix}_([0-7][0-9a-hjkmnp-tv-z]{25})_[0-9A-Za-z]{43})_([0-9a-f]{8})$`).exec(
    secret,
  );
  if (match?.[1] === undefined || match[2] === undefined || match[3] !== crc32(match[1])) return null;
  return `${ID_PREFIXES[kind.idKind]}_${match[2]}` as Id<K>;
}
