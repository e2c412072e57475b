// What Stripe's API takes, as far as we ask for it: form-encoded, brackets for what is nested, and not one parameter
// that its reference does not name. Each schema is checked against the type that Stripe publishes of the request.
import type Stripe from "stripe";
import * as z from "zod";

/** A schema that takes no more than the published type; one that does is no argument of this. */
function published<T>(): <S extends z.ZodType<T, unknown>>(schema: S) => S {
  return (schema) => schema;
}

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

const currency = z.string().regex(/^[a-z]{3}$/);
// At least 50 cents: https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts
const charged = cents.refine((amount) => amount >= 50, "amount_too_small");
const yes = z.literal("true").transform(() => true);

const item = z.strictObject({
  quantity: cents,
  price_data: z.strictObject({
    currency,
    unit_amount: charged,
    product_data: z.strictObject({ name: z.string().min(1) }),
  }),
});

/** https://docs.stripe.com/api/checkout/sessions/create, in payment mode with prices made on the spot. */
export const createSessionSchema = published<Stripe.Checkout.SessionCreateParams>()(
  z.strictObject({
    mode: z.literal("payment"),
    line_items: z.strictObject({ 0: item }).transform(({ 0: only }): [z.output<typeof item>] => [only]),
    client_reference_id: z.string().max(200).exactOptional(),
    metadata: metadata.exactOptional(),
    payment_intent_data: z
      .strictObject({
        metadata: metadata.exactOptional(),
        setup_future_usage: z.enum(["off_session", "on_session"]).exactOptional(),
      })
      .exactOptional(),
    customer_creation: z.enum(["always", "if_required"]).exactOptional(),
    success_url: url,
    cancel_url: url.exactOptional(),
  }),
);

/** https://docs.stripe.com/api/payment_methods/customer_list */
export const listCardsSchema = published<Stripe.CustomerListPaymentMethodsParams>()(
  z.strictObject({ type: z.literal("card"), limit: cents.refine((limit) => limit <= 100) }),
);

/** https://docs.stripe.com/api/payment_intents/create, confirmed at once with a kept card and nobody there. */
export const createPaymentSchema = published<Stripe.PaymentIntentCreateParams>()(
  z.strictObject({
    amount: charged,
    currency,
    customer: z.string().regex(/^cus_\w+$/),
    payment_method: z.string().regex(/^pm_\w+$/),
    // Else `confirm` asks for a return_url: https://docs.stripe.com/api/payment_intents/create#create_payment_intent-return_url
    automatic_payment_methods: z.strictObject({ enabled: yes, allow_redirects: z.literal("never") }),
    off_session: yes,
    confirm: yes,
    description: z.string().max(1_000),
    metadata,
  }),
);
