// API keys and browser tokens: what they may do, and how an account manages them.
import * as z from "zod";
import { idSchema } from "../ids.ts";

export const SCOPES = [
  "clips:read",
  "clips:write",
  "billing:read",
  "billing:write",
  "webhooks:write",
  "keys:write",
] as const;
export type Scope = (typeof SCOPES)[number];

/** Of a key that the operator issues without naming any. Managing keys must be asked for. */
export const DEFAULT_SCOPES = ["clips:read", "clips:write", "billing:read", "webhooks:write"] as const;
/** What a web page's visitor may be given. */
export const BROWSER_SCOPES = ["clips:read", "clips:write"] as const satisfies readonly Scope[];

export const KEY_LIMITS = {
  nameCharacters: 100,
  /** Keys of one account that are neither revoked nor expired. */
  active: 100,
  /** Seconds that the secrets before a rotation stay good. */
  overlap: { default: 24 * 3_600, max: 7 * 24 * 3_600 },
  /** Good at once of one key; another rotation ends the oldest. */
  secrets: 5,
  page: { default: 20, max: 100 },
  /** Of a browser token: seconds, origins and clips. */
  token: { lifetime: { min: 10, default: 900, max: 3_600 }, origins: 10, clips: 10_000 },
} as const;

const name = z.string().trim().min(1).max(KEY_LIMITS.nameCharacters);
const time = z.iso.datetime();
const unique = (values: readonly string[]) => new Set(values).size === values.length;
const EACH_ONCE = { error: "each at most once" };

export const scopesSchema = z.array(z.enum(SCOPES)).min(1).max(SCOPES.length).refine(unique, EACH_ONCE);
export const keyCapSchema = z
  .int()
  .min(0)
  .max(Number.MAX_SAFE_INTEGER)
  .nullable()
  .meta({ description: "Micro-dollars that it may spend in one UTC day; null for no cap of its own" });

export const apiKeySchema = z
  .object({
    id: idSchema("key"),
    object: z.literal("api_key"),
    name: z.string(),
    prefix: z.string().meta({ description: "How its secrets begin", example: "tc_live_01j9z3k4m5n6p7q8r9s0t1v2w3" }),
    state: z.enum(["active", "revoked", "expired"]),
    scopes: z.array(z.enum(SCOPES)),
    daily_cap_micros: keyCapSchema,
    created_at: time,
    expires_at: time.nullable(),
    revoked_at: time.nullable(),
    last_used_at: time.nullable().meta({ description: "To the hour; null if never" }),
  })
  .meta({ id: "ApiKey" });
export type ApiKey = z.infer<typeof apiKeySchema>;

/** The only answers that ever hold a secret. */
export const issuedApiKeySchema = apiKeySchema
  .extend({ key: z.string().meta({ description: "The secret: shown this once and kept nowhere" }) })
  .meta({ id: "IssuedApiKey" });
export type IssuedApiKey = z.infer<typeof issuedApiKeySchema>;

export const createApiKeySchema = z
  .strictObject({
    name,
    scopes: scopesSchema.meta({ description: "None that the calling key has not" }),
    daily_cap_micros: keyCapSchema
      .optional()
      .meta({ description: "Not above the calling key's, which is the default" }),
    expires_at: time.nullable().optional().meta({ description: "Not after the calling key's, which is the default" }),
  })
  .meta({ id: "CreateApiKey" });
export type CreateApiKey = z.infer<typeof createApiKeySchema>;

export const changeApiKeySchema = z
  .strictObject({ name: name.optional(), scopes: scopesSchema.optional(), daily_cap_micros: keyCapSchema.optional() })
  .meta({ id: "ChangeApiKey", description: "What is left out stays as it is" });
export type ChangeApiKey = z.infer<typeof changeApiKeySchema>;

export const rotateApiKeySchema = z
  .strictObject({
    overlap_seconds: z
      .int()
      .min(0)
      .max(KEY_LIMITS.overlap.max)
      .default(KEY_LIMITS.overlap.default)
      .meta({ description: "How long the secrets so far stay good; with 0 they end at once" }),
  })
  .meta({ id: "RotateApiKey" });
export type RotateApiKey = z.input<typeof rotateApiKeySchema>;

export const listApiKeysSchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(KEY_LIMITS.page.max).default(KEY_LIMITS.page.default),
  after: idSchema("key").optional().meta({ description: "`next` of the page before" }),
});
export type ListApiKeys = z.output<typeof listApiKeysSchema>;

export const apiKeyPageSchema = z
  .object({
    data: z.array(apiKeySchema),
    next: idSchema("key").nullable().meta({ description: "`after` of the next page; null on the last" }),
  })
  .meta({ id: "ApiKeyPage" });
export type ApiKeyPage = z.infer<typeof apiKeyPageSchema>;

/** As a browser's Origin header has it: scheme, host, and the port unless it is the scheme's own. */
const originSchema = z
  .string()
  .max(300)
  .refine(
    (text) => /^https?:\/\//.test(text) && URL.canParse(text) && new URL(text).origin === text,
    "must be scheme and host only, like https://www.example.com",
  );

export const createBrowserTokenSchema = z
  .strictObject({
    scopes: z
      .array(z.enum(BROWSER_SCOPES))
      .min(1)
      .max(BROWSER_SCOPES.length)
      .refine(unique, EACH_ONCE)
      .meta({ description: "None that the calling key has not" }),
    origins: z
      .array(originSchema)
      .min(1)
      .max(KEY_LIMITS.token.origins)
      .refine(unique, EACH_ONCE)
      .meta({ description: "Pages of these origins may use it", example: ["https://www.example.com"] }),
    expires_in: z
      .int()
      .min(KEY_LIMITS.token.lifetime.min)
      .max(KEY_LIMITS.token.lifetime.max)
      .default(KEY_LIMITS.token.lifetime.default)
      .meta({ description: "Seconds" }),
    max_clips: z
      .int()
      .min(0)
      .max(KEY_LIMITS.token.clips)
      .nullable()
      .default(null)
      .meta({ description: "Clips that it may order; null for as many as its key may" }),
  })
  .meta({ id: "CreateBrowserToken" });
export type CreateBrowserToken = z.output<typeof createBrowserTokenSchema>;
export type CreateBrowserTokenInput = z.input<typeof createBrowserTokenSchema>;

export const browserTokenSchema = z
  .object({
    id: idSchema("token"),
    object: z.literal("browser_token"),
    token: z.string().meta({ description: "The secret: shown this once and kept nowhere" }),
    key_id: idSchema("key"),
    scopes: z.array(z.enum(BROWSER_SCOPES)),
    origins: z.array(z.string()),
    max_clips: z.int().nullable(),
    expires_at: time,
  })
  .meta({ id: "BrowserToken" });
export type BrowserToken = z.infer<typeof browserTokenSchema>;
