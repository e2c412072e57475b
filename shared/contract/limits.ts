// What an account and its API keys are held to: as a refusal names it, and as GET /v1/limits lists it.
import * as z from "zod";

const LIMIT_NAMES = [
  "account_daily_cap",
  "key_daily_cap",
  "max_in_flight",
  "read_requests",
  "write_requests",
  "token_read_requests",
  "token_write_requests",
  "trigger_requests",
] as const;
export type LimitName = (typeof LIMIT_NAMES)[number];

export const limitSchema = z.object({
  name: z.enum(LIMIT_NAMES),
  value: z.int().meta({ description: "Micro-dollars for a cap, else a count" }),
  resets_at: z.iso
    .datetime()
    .nullable()
    .meta({ description: "When it is counted anew; null if only by clips that end" }),
});
export type Limit = z.infer<typeof limitSchema>;

export const limitListSchema = z
  .object({
    data: z.array(limitSchema.extend({ used: z.int().meta({ description: "Held and captured, or in flight" }) })),
  })
  .meta({ id: "LimitList" });
export type LimitList = z.infer<typeof limitListSchema>;
