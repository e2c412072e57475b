// An account's balance, as GET /v1/balance answers it: all in integer micro-dollars.
import * as z from "zod";

export const balanceSchema = z
  .object({
    posted_micros: z.int().meta({ description: "Credit less what has been charged" }),
    pending_micros: z.int().meta({ description: "Held for clips that have not ended" }),
    available_micros: z.int().meta({ description: "Posted less pending: what new clips may cost" }),
  })
  .meta({ id: "Balance" });
export type Balance = z.infer<typeof balanceSchema>;

export const balanceAlertSchema = z
  .strictObject({
    threshold_micros: z
      .int()
      .min(1)
      .max(Number.MAX_SAFE_INTEGER)
      .nullable()
      .meta({ description: "`balance.low` is told when what can be spent falls below it; null for never" }),
  })
  .meta({ id: "BalanceAlert" });
export type BalanceAlert = z.infer<typeof balanceAlertSchema>;
