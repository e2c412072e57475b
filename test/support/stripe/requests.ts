// What Stripe's API takes, as far as we ask for it: form-encoded, brackets for what is nested, and not one parameter
// that its reference does not name.
import * as z from "zod";

type Form = { [name: string]: string | Form };

/** `a[b][0][c]=d` as an object. https://docs.stripe.com/api?lang=curl */
export function parseForm(text: string): Form {
  const root: Form = {};
  for (const [name, value] of new URLSearchParams(text)) {
    const path = name.split(/\[|\]\[|\]$/).filter((part) => part !== "");
    const last = path.pop() ?? "";
    let at = root;
    for (const part of path) {
      const next = at[part] ?? {};
      if (typeof next === "string") throw new Error(`${name}: both a value and an object`);
      at[part] = next;
      at = next;
    }
    at[last] = value;
  }
  return root;
}

const cents = z
  .string()
  .regex(/^[1-9]\d{0,7}$/)
  .transform(Number);
const url = z.url().max(5_000);
/** https://docs.stripe.com/api/metadata */
const metadata = z
  .record(z.string().min(1).max(40), z.string().max(500))
  .refine((pairs) => Object.keys(pairs).length <= 50, "at most 50 pairs");

/** https://docs.stripe.com/api/checkout/sessions/create, in payment mode with prices made on the spot. */
export const createSessionSchema = z.strictObject({
  mode: z.literal("payment"),
  line_items: z.strictObject({
    0: z.strictObject({
      quantity: cents,
      price_data: z.strictObject({
        currency: z.string().regex(/^[a-z]{3}$/),
        // At least 50 cents: https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts
        unit_amount: cents.refine((amount) => amount >= 50, "amount_too_small"),
        product_data: z.strictObject({ name: z.string().min(1) }),
      }),
    }),
  }),
  client_reference_id: z.string().max(200).optional(),
  metadata: metadata.optional(),
  payment_intent_data: z.strictObject({ metadata: metadata.optional() }).optional(),
  success_url: url,
  cancel_url: url.optional(),
});
