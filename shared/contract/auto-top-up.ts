// Automatic top-ups: when the balance falls below a threshold, the kept card is charged.
import * as z from "zod";
import { topUpAmount } from "./payments.ts";

const MAX_MONTHLY_MICROS = 1_000_000_000_000;

export const setAutoTopUpSchema = z
  .strictObject({
    threshold_micros: z
      .int()
      .min(1)
      .max(Number.MAX_SAFE_INTEGER)
      .meta({ description: "A top-up is charged when what can be spent falls below it", example: 5_000_000 }),
    amount_micros: topUpAmount.meta({ description: "What one top-up charges, in whole cents", example: 20_000_000 }),
    monthly_cap_micros: z
      .int()
      .min(1)
      .max(MAX_MONTHLY_MICROS)
      .meta({ description: "What automatic top-ups may charge in one month (UTC) together", example: 200_000_000 }),
  })
  .refine(({ amount_micros, monthly_cap_micros }) => amount_micros <= monthly_cap_micros, {
    error: "must cover one top-up, amount_micros",
    path: ["monthly_cap_micros"],
  })
  .meta({ id: "SetAutoTopUp" });
export type SetAutoTopUp = z.output<typeof setAutoTopUpSchema>;

const STATES = ["off", "needs_card", "armed", "due", "charging", "stopped"] as const;

export const autoTopUpSchema = z
  .object({
    object: z.literal("auto_top_up"),
    state: z.enum(STATES).meta({
      description:
        "`needs_card`: pay a top-up with `save_card` first. `due`: a charge is about to be made, or waits for the next month. " +
        "`stopped`: a charge was refused; PUT the settings again once the card is good",
    }),
    threshold_micros: z.int().nullable(),
    amount_micros: z.int().nullable(),
    monthly_cap_micros: z.int().nullable(),
    charged_this_month_micros: z.int().meta({ description: "Of automatic top-ups in this month (UTC)" }),
    last_error: z
      .string()
      .nullable()
      .meta({ description: "Why nothing is charged: Stripe's decline code, `no_card`, `monthly_cap` or `no_answer`" }),
  })
  .meta({ id: "AutoTopUp" });
export type AutoTopUp = z.infer<typeof autoTopUpSchema>;
