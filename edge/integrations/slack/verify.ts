// Whether a request is Slack's: HMAC-SHA256 over the version, the timestamp and the raw body.
// https://docs.slack.dev/authentication/verifying-requests-from-slack
import { ApiError } from "../../../shared/errors.ts";
import { equalInConstantTime, hex } from "../../services/encoding.ts";
import type { Ports } from "../../services/ports.ts";

/** Slack signs when it sends; what is older, or from the future, is somebody's copy or a wrong clock. */
const SKEW_MS = 300_000;
const utf8 = new TextEncoder();

export interface SignedRequest {
  readonly signature: string | undefined;
  readonly timestamp: string | undefined;
  /** To the byte as it came. */
  readonly body: string;
}

/** As in X-Slack-Signature. */
export async function signatureOf(
  { digest }: Pick<Ports, "digest">,
  signingSecret: string,
  timestamp: string,
  body: string,
): Promise<string> {
  return `v0=${hex(await digest.hmacSha256(Uint8Array.from(utf8.encode(signingSecret)), `v0:${timestamp}:${body}`))}`;
}

/** Throws unauthenticated. */
export async function requireSlack(
  ports: Pick<Ports, "digest" | "clock">,
  signingSecret: string,
  { signature = "", timestamp = "", body }: SignedRequest,
): Promise<void> {
  const fresh = /^\d{1,12}$/.test(timestamp) && Math.abs(ports.clock.now() - Number(timestamp) * 1_000) <= SKEW_MS;
  if (!fresh || !equalInConstantTime(signature, await signatureOf(ports, signingSecret, timestamp, body))) {
    throw new ApiError("unauthenticated", "This request is not signed by the Slack app, or not just now.");
  }
}
