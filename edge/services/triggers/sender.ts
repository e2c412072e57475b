// Whether a delivery comes from the sender that the trigger was made for: by a secret that both know. While a replaced
// secret overlaps, either will do.
import { Webhook } from "standardwebhooks";
import type { TriggerRow } from "../../../db/queries/triggers/triggers.ts";
import { selectSecrets } from "../../../db/queries/webhooks/secrets.ts";
import { ApiError } from "../../../shared/errors.ts";
import { equalInConstantTime, hex } from "../encoding.ts";
import type { Ports } from "../ports.ts";
import { openSecrets } from "../webhooks/secrets.ts";

/** A POST to a trigger's URL. */
export interface Posted {
  /** By its lower-case name. */
  readonly header: (name: string) => string | null;
  /** To the byte, as text. */
  readonly body: string;
}

/** As the specification's own libraries: an older or a future message may be a repetition by somebody else. */
const TOLERANCE_MS = 5 * 60_000;

type Source = Pick<Ports, "db" | "clock" | "vault" | "digest" | "log">;
type Check = (ports: Source, posted: Posted, secrets: readonly string[]) => Promise<string | null>;

/** Why the delivery is not the sender's, or null. */
const CHECKS: Readonly<Record<TriggerRow["signature"], Check>> = {
  none: async () => null,
  github: checkGitHub,
  "standard-webhooks": checkStandardWebhooks,
  bearer: checkBearer,
};

/** Throws unauthenticated, which is for the trigger's owner to read. */
export async function verifySender(ports: Source, trigger: TriggerRow, posted: Posted): Promise<void> {
  const rows = trigger.signature === "none" ? [] : await selectSecrets(ports.db, trigger.id, ports.clock.now());
  const secrets = await openSecrets(ports, rows);
  const fault = await CHECKS[trigger.signature](ports, posted, secrets);
  if (fault !== null) throw new ApiError("unauthenticated", fault);
}

/** https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries */
async function checkGitHub({ digest }: Source, { header, body }: Posted, secrets: readonly string[]) {
  const signature = header("x-hub-signature-256");
  if (signature === null) return "There is no X-Hub-Signature-256; set the trigger's secret in the webhook's settings.";
  const utf8 = new TextEncoder();
  const expected = await Promise.all(
    secrets.map(async (secret) => `sha256=${hex(await digest.hmacSha256(Uint8Array.from(utf8.encode(secret)), body))}`),
  );
  return isAny(expected, signature) ? null : "X-Hub-Signature-256 is not by the trigger's secret.";
}

/** https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md */
async function checkStandardWebhooks({ clock }: Source, { header, body }: Posted, secrets: readonly string[]) {
  const id = header("webhook-id");
  const seconds = header("webhook-timestamp");
  const signatures = header("webhook-signature");
  if (id === null || seconds === null || signatures === null) {
    return "There must be webhook-id, webhook-timestamp and webhook-signature.";
  }
  const atMs = /^[0-9]{1,12}$/.test(seconds) ? Number(seconds) * 1_000 : Number.NaN;
  if (!(Math.abs(clock.now() - atMs) <= TOLERANCE_MS)) return "webhook-timestamp is not within five minutes of now.";
  const expected = secrets.map((secret) => new Webhook(secret).sign(id, new Date(atMs), body));
  const match = signatures.split(" ").some((signature) => isAny(expected, signature));
  return match ? null : "webhook-signature is not by the trigger's secret.";
}

async function checkBearer({ digest }: Source, { header }: Posted, secrets: readonly string[]) {
  const presented = /^Bearer +(\S+) *$/i.exec(header("authorization") ?? "")?.[1];
  if (presented === undefined) return "There is no `Authorization: Bearer <secret>`.";
  // Digests have one length, so that comparing them does not tell how long the secret is.
  const hash = async (text: string) => hex(await digest.sha256(text));
  const expected = await Promise.all(secrets.map(hash));
  return isAny(expected, await hash(presented)) ? null : "The bearer secret is not the trigger's.";
}

function isAny(expected: readonly string[], presented: string): boolean {
  return expected.filter((one) => equalInConstantTime(one, presented)).length > 0;
}
