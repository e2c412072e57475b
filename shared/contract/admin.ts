// The operator's routes under /admin/v1, authenticated by `Authorization: Bearer <ADMIN_TOKEN>`.
import * as z from "zod";
import { idSchema } from "../ids.ts";
import { STAGES } from "../states.ts";
import { LIMITS } from "./clips.ts";
import { scopesSchema } from "./keys.ts";

const name = z.string().trim().min(1).max(100);

export const createAccountSchema = z.strictObject({ name });
export const accountSchema = z.object({ id: idSchema("account"), name: z.string() });

const cap = z.int().min(0).max(Number.MAX_SAFE_INTEGER).nullable();
/** What is left out stays as it is; a cap of null is none, a maximum of 0 stops all orders. */
export const accountLimitsSchema = z.strictObject({
  daily_cap_micros: cap.optional(),
  max_in_flight: z.int().min(0).max(1_000_000).optional(),
  /** Whether its prompts may stand in the logs. */
  log_prompts: z.boolean().optional(),
});
export const limitedAccountSchema = accountSchema.extend({
  daily_cap_micros: cap,
  max_in_flight: z.int(),
  log_prompts: z.boolean(),
});

/** One grant at most, in micro-dollars: a slip of the keyboard stays bounded. */
const MAX_GRANT_MICROS = 1_000_000_000_000;

const reason = z.string().trim().min(1).max(500);
/** Instead of the Idempotency-Key header; one of the two must be there. */
const idempotency_key = z.string().min(1).max(LIMITS.idempotencyKeyCharacters).optional();

export const grantSchema = z.strictObject({
  amount_micros: z.int().min(1).max(MAX_GRANT_MICROS),
  reason,
  idempotency_key,
});
export const grantReplySchema = z.object({
  transaction_id: z.string(),
  account_id: idSchema("account"),
  amount_micros: z.int(),
});

/** Without an amount: all that has not been refunded yet. */
export const refundSchema = z.strictObject({
  amount_micros: z.int().min(1).max(MAX_GRANT_MICROS).optional(),
  reason,
  idempotency_key,
});
export const refundReplySchema = grantReplySchema.extend({ clip_id: idSchema("clip") });

export const createKeySchema = z.strictObject({
  name,
  expires_at: z.iso.datetime().optional(),
  daily_cap_micros: cap.default(null),
  /** All but keys:write if absent. */
  scopes: scopesSchema.optional(),
});
/** The only answer that ever holds the key itself. */
export const issuedKeySchema = z.object({ id: idSchema("key"), key: z.string(), prefix: z.string() });

export const fleetSchema = z.object({
  data: z.array(
    z.object({
      id: idSchema("runner"),
      name: z.string(),
      state: z.enum(["never_seen", "live", "draining", "dead"]),
      drained_since: z.iso.datetime().nullable(),
      last_seen_at: z.iso.datetime().nullable(),
      version: z.string().nullable(),
      engine: z.string().nullable(),
      devices: z.array(z.string()),
      models: z.array(z.string()),
      loaded_model: z.string().nullable(),
      attempts: z.array(
        z.object({
          clip_id: idSchema("clip"),
          attempt: z.int(),
          model: z.string(),
          /** null until its first heartbeat. */
          stage: z.enum(STAGES).nullable(),
          lease_until: z.iso.datetime(),
        }),
      ),
    }),
  ),
});
export type Fleet = z.infer<typeof fleetSchema>;

export const createRunnerSchema = z.strictObject({ name });
/** The only answer that ever holds the token itself. */
export const issuedRunnerSchema = z.object({ runner_id: idSchema("runner"), token: z.string() });
