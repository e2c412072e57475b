// The operator's routes under /admin/v1, authenticated by `Authorization: Bearer <ADMIN_TOKEN>`.
import * as z from "zod";
import { idSchema } from "../ids.ts";
import { LIMITS } from "./clips.ts";

const name = z.string().trim().min(1).max(100);

export const createAccountSchema = z.strictObject({ name });
export const accountSchema = z.object({ id: idSchema("account"), name: z.string() });

/** One grant at most, in micro-dollars: a slip of the keyboard stays bounded. */
const MAX_GRANT_MICROS = 1_000_000_000_000;

export const grantSchema = z.strictObject({
  amount_micros: z.int().min(1).max(MAX_GRANT_MICROS),
  reason: z.string().trim().min(1).max(500),
  /** Instead of the Idempotency-Key header; one of the two must be there. */
  idempotency_key: z.string().min(1).max(LIMITS.idempotencyKeyCharacters).optional(),
});
export const grantReplySchema = z.object({
  transaction_id: z.string(),
  account_id: idSchema("account"),
  amount_micros: z.int(),
});

export const createKeySchema = z.strictObject({ name, expires_at: z.iso.datetime().optional() });
/** The only answer that ever holds the key itself. */
export const issuedKeySchema = z.object({ id: idSchema("key"), key: z.string(), prefix: z.string() });

export const createRunnerSchema = z.strictObject({ name });
/** The only answer that ever holds the token itself. */
export const issuedRunnerSchema = z.object({ runner_id: idSchema("runner"), token: z.string() });
