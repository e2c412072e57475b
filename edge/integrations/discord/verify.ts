// Whether a request is Discord's: Ed25519 over the timestamp and the raw body.
// https://docs.discord.com/developers/interactions/overview#validating-security-request-headers
import { ApiError } from "../../../shared/errors.ts";

/** Discord signs when it sends; what is older, or from the future, is somebody's copy or a wrong clock. */
const SKEW_MS = 300_000;
const utf8 = new TextEncoder();

function fromHex(text: string, bytes: number): Uint8Array<ArrayBuffer> | null {
  if (!new RegExp(`^[0-9a-fA-F]{${bytes * 2}}$`).test(text)) return null;
  return Uint8Array.from({ length: bytes }, (_, i) => Number.parseInt(text.slice(2 * i, 2 * i + 2), 16));
}

/** False for whatever is no signature or no key, too. */
export async function verifyEd25519(
  publicKey: string,
  signature: string,
  message: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  const key = fromHex(publicKey, 32);
  const signed = fromHex(signature, 64);
  if (key === null || signed === null) return false;
  const imported = await crypto.subtle.importKey("raw", key, { name: "Ed25519" }, false, ["verify"]);
  return await crypto.subtle.verify({ name: "Ed25519" }, imported, signed, message);
}

export interface SignedRequest {
  readonly signature: string | undefined;
  readonly timestamp: string | undefined;
  /** To the byte as it came. */
  readonly body: string;
}

/** Throws unauthenticated: Discord probes with wrong signatures, and takes an endpoint away that answers other than 401. */
export async function requireDiscord(publicKey: string, request: SignedRequest, nowMs: number): Promise<void> {
  const { signature = "", timestamp = "", body } = request;
  const fresh = /^\d{1,12}$/.test(timestamp) && Math.abs(nowMs - Number(timestamp) * 1_000) <= SKEW_MS;
  if (!fresh || !(await verifyEd25519(publicKey, signature, Uint8Array.from(utf8.encode(`${timestamp}${body}`))))) {
    throw new ApiError("unauthenticated", "This request is not signed by the Discord application, or not just now.");
  }
}
