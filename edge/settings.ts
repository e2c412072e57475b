// What a deployment must be told, checked before anything is done with it. A message names the setting and
// never its value.
import * as z from "zod";
import { DEFAULT_RATE_LIMITS, type RateLimits } from "../shared/contract/rate-limits.ts";
import { fromBase64 } from "./services/encoding.ts";
import { DEFAULT_TIMES, type SigningKey, type SigningKeys, type Times } from "./services/ports.ts";

const MIN_SECRET_BYTES = 32;

const origin = z
  .url({ protocol: /^https?$/ })
  .refine(
    (text) => URL.canParse(text) && new URL(text).origin === text,
    "must be scheme and host only, like https://api.example.com",
  );

const endpoint = z.url({ protocol: /^https?$/ }).transform((text) => text.replace(/\/+$/, ""));

/** Names of hosts by commas, without ports; none unless it is set. */
const hostList = z
  .string()
  .default("")
  .transform(
    (text) =>
      new Set(
        text
          .split(",")
          .map((host) => host.trim().toLowerCase())
          .filter((host) => host !== ""),
      ),
  );

/** One to a line; none unless it is set. */
const terms = z
  .string()
  .default("")
  .transform((text) => text.split("\n").flatMap((line) => (line.trim() === "" ? [] : [line.trim()])))
  .refine((all) => all.every((term) => /[\p{L}\p{N}]/u.test(term)), "each line must have a letter or a digit");

const token = z.string().min(MIN_SECRET_BYTES, `must have at least ${MIN_SECRET_BYTES} characters`);

const AES_KEY_BYTES = 32;

/** "k2:<base64>,k1:<base64>": the first signs, all verify. */
const signingKeys = z.string().transform((text, context): SigningKeys => {
  const keys = text.split(",").map((entry): SigningKey | null => {
    const match = /^([A-Za-z0-9_-]{1,32}):([A-Za-z0-9+/]+={0,2})$/.exec(entry.trim());
    const secret = fromBase64(match?.[2] ?? "");
    return match?.[1] === undefined || secret === null || secret.length < MIN_SECRET_BYTES
      ? null
      : { id: match[1], secret };
  });
  const [first, ...rest] = keys.filter((key) => key !== null);
  if (first === undefined || rest.length + 1 !== keys.length) {
    context.addIssue(`must be <key id>:<base64 of at least ${MIN_SECRET_BYTES} random bytes>, several by commas`);
    return z.NEVER;
  }
  return [first, ...rest];
});

const duration = z.int().min(1);

const jsonText = z
  .string()
  .default("{}")
  .transform((text, context): unknown => {
    try {
      return JSON.parse(text);
    } catch {
      context.addIssue("must be a JSON object");
      return z.NEVER;
    }
  });

const rateLimit = z.strictObject({ quota: z.int().min(1), windowS: z.int().min(1).max(3_600) });

/** A JSON object that replaces some of the default rate limits. */
const rateLimits = jsonText.pipe(
  z.strictObject({
    read: rateLimit.default(DEFAULT_RATE_LIMITS.read),
    write: rateLimit.default(DEFAULT_RATE_LIMITS.write),
    token_read: rateLimit.default(DEFAULT_RATE_LIMITS.token_read),
    token_write: rateLimit.default(DEFAULT_RATE_LIMITS.token_write),
    trigger: rateLimit.default(DEFAULT_RATE_LIMITS.trigger),
  }) satisfies z.ZodType<RateLimits>,
);

/** A JSON object that replaces some of the default times, in milliseconds; for tests. */
const leaseTimes = jsonText.pipe(
  z.strictObject({
    pollWaitMs: duration.default(DEFAULT_TIMES.pollWaitMs),
    acknowledgeMs: duration.default(DEFAULT_TIMES.acknowledgeMs),
    heartbeatMs: duration.default(DEFAULT_TIMES.heartbeatMs),
    leaseMs: duration.default(DEFAULT_TIMES.leaseMs),
    stallMs: duration.default(DEFAULT_TIMES.stallMs),
    uploadUrlMs: duration.min(1_000).default(DEFAULT_TIMES.uploadUrlMs),
    maxAttempts: z.int().min(1).default(DEFAULT_TIMES.maxAttempts),
    downloadUrlMs: duration.default(DEFAULT_TIMES.downloadUrlMs),
    loadedModelMs: duration.default(DEFAULT_TIMES.loadedModelMs),
    queuedMs: duration.default(DEFAULT_TIMES.queuedMs),
    uploadKeptMs: duration.default(DEFAULT_TIMES.uploadKeptMs),
    outputKeptMs: duration.default(DEFAULT_TIMES.outputKeptMs),
    messagesKeptMs: duration.default(DEFAULT_TIMES.messagesKeptMs),
    idempotencyMs: duration.default(DEFAULT_TIMES.idempotencyMs),
  }) satisfies z.ZodType<Times>,
);

/** Of each of these a deployment has all, or none. */
const TOGETHER = [
  ["MODERATION_URL", "MODERATION_SECRET"],
  ["DISCORD_APPLICATION_ID", "DISCORD_PUBLIC_KEY", "DISCORD_BOT_TOKEN"],
  ["SLACK_CLIENT_ID", "SLACK_CLIENT_SECRET", "SLACK_SIGNING_SECRET"],
  ["STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"],
] as const;

const settingsObject = z.object({
  PUBLIC_ORIGIN: origin,
  R2_S3_ENDPOINT: endpoint,
  R2_BUCKET: z.string().regex(/^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/, "must be the name of an R2 bucket"),
  R2_ACCESS_KEY_ID: z.string().min(1),
  R2_SECRET_ACCESS_KEY: z.string().min(1),
  SIGNING_KEYS: signingKeys,
  ENCRYPTION_KEYS: signingKeys.refine(
    (keys) => keys.every(({ secret }) => secret.length === AES_KEY_BYTES),
    `each key must have ${AES_KEY_BYTES} bytes, for AES-256`,
  ),
  WEBHOOK_TRUSTED_HOSTS: hostList,
  MODERATION_TERMS: terms,
  MODERATION_URL: z.url({ protocol: /^https?$/ }).optional(),
  MODERATION_SECRET: z
    .string()
    .regex(/^whsec_[A-Za-z0-9+/]{32,}={0,2}$/, "must be whsec_ and the base64 of at least 24 random bytes")
    .optional(),
  MODERATION_WITHOUT_VERDICT: z.enum(["wait", "allow"]).default("wait"),
  ADMIN_TOKEN: token,
  /** Opens /metrics and nothing else. */
  METRICS_TOKEN: token.optional(),
  LEASE_TIMES: leaseTimes,
  RATE_LIMITS: rateLimits,
  DISCORD_APPLICATION_ID: z
    .string()
    .regex(/^\d{1,20}$/, "must be the application's id, a number")
    .optional(),
  DISCORD_PUBLIC_KEY: z
    .string()
    .regex(/^[0-9a-f]{64}$/i, "must be the application's public key, 64 hex digits")
    .optional(),
  DISCORD_BOT_TOKEN: z.string().min(1).optional(),
  STRIPE_SECRET_KEY: z
    .string()
    .regex(/^(sk|rk)_(test|live)_\w+$/, "must be a secret or restricted key of Stripe's API")
    .optional(),
  STRIPE_WEBHOOK_SECRET: z
    .string()
    .regex(/^whsec_.{16,}$/, "must be the signing secret of Stripe's webhook endpoint")
    .optional(),
  STRIPE_API_URL: endpoint.default("https://api.stripe.com"),
  DISCORD_API_URL: endpoint.default("https://discord.com/api/v10"),
  SLACK_CLIENT_ID: z
    .string()
    .regex(/^[\d.]{1,64}$/, "must be the app's client id, two numbers and a dot")
    .optional(),
  SLACK_CLIENT_SECRET: z.string().min(1).optional(),
  SLACK_SIGNING_SECRET: z.string().min(MIN_SECRET_BYTES, "must be the app's signing secret, 32 hex digits").optional(),
  SLACK_API_URL: endpoint.default("https://slack.com/api"),
});

const settingsSchema = settingsObject.superRefine((settings, context) => {
  for (const names of TOGETHER) {
    const missing = names.filter((name) => settings[name] === undefined);
    if (missing.length === names.length) continue;
    for (const name of missing) {
      context.addIssue({ code: "custom", path: [name], message: `must be set, as ${names.join(", ")} go together` });
    }
  }
});
export type Settings = z.output<typeof settingsSchema>;

/** The deployment is at fault, not the request. */
export class SettingsError extends Error {
  override readonly name = "SettingsError";
}

export function readSettings(env: object): Settings {
  const result = settingsSchema.safeParse(env);
  if (result.success) return result.data;
  const faults = result.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  throw new SettingsError(`settings are missing or wrong: ${faults.join("; ")}`);
}
