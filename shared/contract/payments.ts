// Buying credit: a top-up is paid on a page of Stripe, and credited when Stripe has said so.
import * as z from "zod";
import { idSchema } from "../ids.ts";

export const TOP_UP_STATES = ["open", "paid", "failed", "expired"] as const;
/** What became of an event of Stripe's: booked, without meaning for us, of no top-up of ours, or at odds with it. */
export const EVENT_OUTCOMES = ["applied", "ignored", "unknown", "mismatch"] as const;

/** Stripe charges whole cents. */
export const MICROS_PER_CENT = 10_000;

export const TOP_UP_LIMITS = {
  /** Five and ten thousand dollars. */
  amount: { min: 5_000_000, max: 10_000_000_000 },
  urlCharacters: 2_000,
  page: { default: 20, max: 100 },
} as const;

/** https, or http on the customer's own machine; nobody's name and password in it. */
function mayReturnTo(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, username, password } = new URL(text);
  if (username !== "" || password !== "") return false;
  return protocol === "https:" || (protocol === "http:" && (hostname === "localhost" || hostname === "127.0.0.1"));
}

/** What one top-up may be of. */
export const topUpAmount = z
  .int()
  .min(TOP_UP_LIMITS.amount.min)
  .max(TOP_UP_LIMITS.amount.max)
  .multipleOf(MICROS_PER_CENT);

const returnUrl = z
  .string()
  .max(TOP_UP_LIMITS.urlCharacters)
  .refine(mayReturnTo, "must be an https URL without a user name (http only for localhost)")
  .meta({ example: "https://www.example.com/credit" });

export const createTopUpSchema = z
  .strictObject({
    amount_micros: topUpAmount.meta({ description: "Micro-dollars, in whole cents", example: 20_000_000 }),
    success_url: returnUrl.meta({ description: "Where the page leads once it is paid" }),
    cancel_url: returnUrl.meta({ description: "Where the page leads back to" }),
    save_card: z
      .boolean()
      .default(false)
      .meta({ description: "Keep the card at Stripe for automatic top-ups (`PUT /v1/auto-top-up`)" }),
  })
  .meta({ id: "CreateTopUp" });
export type CreateTopUp = z.output<typeof createTopUpSchema>;

export const topUpSchema = z
  .object({
    id: idSchema("topUp"),
    object: z.literal("top_up"),
    amount_micros: z.int(),
    state: z.enum(TOP_UP_STATES).meta({ description: "The credit is there when it is `paid`" }),
    auto: z.boolean().meta({ description: "Charged to the kept card because the balance ran low" }),
    url: z
      .string()
      .nullable()
      .meta({ description: "The page to pay on; null where there is none or it is of no more use" }),
    refunded_micros: z.int().meta({ description: "Paid back, and taken off the balance" }),
    disputed_micros: z.int().meta({ description: "Taken back by the payer's bank, and off the balance" }),
    receipt_url: z.string().nullable().meta({ description: "Stripe's receipt" }),
    created_at: z.iso.datetime(),
  })
  .meta({ id: "TopUp" });
export type TopUp = z.infer<typeof topUpSchema>;

export const listTopUpsSchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(TOP_UP_LIMITS.page.max).default(TOP_UP_LIMITS.page.default),
  after: idSchema("topUp").optional().meta({ description: "`next` of the page before" }),
});
export type ListTopUps = z.output<typeof listTopUpsSchema>;

export const topUpPageSchema = z
  .object({
    data: z.array(topUpSchema),
    next: idSchema("topUp").nullable().meta({ description: "`after` of the next page; null on the last" }),
  })
  .meta({ id: "TopUpPage" });
export type TopUpPage = z.infer<typeof topUpPageSchema>;
