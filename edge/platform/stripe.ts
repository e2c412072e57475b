// Payments by Stripe's own SDK, over fetch and WebCrypto. It retries a request whose answer was lost, under the same
// Idempotency-Key, so that it is done once.
import Stripe from "stripe";
import { MICROS_PER_CENT } from "../../shared/contract/payments.ts";
import { ApiError } from "../../shared/errors.ts";
import { type Micros, micros } from "../../shared/pricing.ts";
import type { CardOrder, CardOutcome, PaymentEvent, PaymentNews, Payments } from "../services/ports.ts";
import type { Settings } from "../settings.ts";
import { log } from "./log.ts";

const TIMEOUT_MS = 20_000;
const RETRIES = 2;
/** Of a signature's time; Stripe signs each delivery anew. */
const TOLERANCE_S = 300;
const CURRENCY = "usd";
const PRODUCT = "turboclip credit";

/** Null where the settings name no Stripe account. */
export function stripePayments(settings: Settings): Payments | null {
  const { STRIPE_SECRET_KEY: key, STRIPE_WEBHOOK_SECRET: secret, STRIPE_API_URL } = settings;
  if (key === undefined || secret === undefined) return null;
  const { protocol, hostname, port } = new URL(STRIPE_API_URL);
  const stripe = new Stripe(key, {
    httpClient: Stripe.createFetchHttpClient(),
    protocol: protocol === "http:" ? "http" : "https",
    host: hostname,
    ...(port !== "" && { port }),
    timeout: TIMEOUT_MS,
    maxNetworkRetries: RETRIES,
    telemetry: false,
  });
  const crypto = Stripe.createSubtleCryptoProvider();
  return {
    openCheckout: async ({ topUpId, accountId, amountMicros, successUrl, cancelUrl, saveCard }) => {
      const metadata = { top_up_id: topUpId, account_id: accountId };
      const price = {
        currency: CURRENCY,
        unit_amount: amountMicros / MICROS_PER_CENT,
        product_data: { name: PRODUCT },
      };
      const session = await answered(
        stripe.checkout.sessions.create(
          {
            mode: "payment",
            line_items: [{ quantity: 1, price_data: price }],
            client_reference_id: topUpId,
            metadata,
            payment_intent_data: { metadata, ...(saveCard && { setup_future_usage: "off_session" }) },
            ...(saveCard && { customer_creation: "always" }),
            success_url: successUrl,
            cancel_url: cancelUrl,
          },
          { idempotencyKey: topUpId },
        ),
      );
      if (session.url === null) throw new ApiError("payment_unavailable", "Stripe has made no page to pay on.");
      return { sessionId: session.id, url: session.url };
    },
    chargeCard: async (order) => await chargeCard(stripe, order),
    findReceipt: async (paymentIntent) => {
      const { latest_charge } = await answered(
        stripe.paymentIntents.retrieve(paymentIntent, { expand: ["latest_charge"] }),
      );
      return latest_charge === null || typeof latest_charge === "string" ? null : latest_charge.receipt_url;
    },
    readEvent: async (body, signature, nowMs) => {
      const checked = stripe.webhooks.constructEventAsync(body, signature ?? "", secret, TOLERANCE_S, crypto, nowMs);
      return told(await checked.catch(refuse));
    },
  };
}

/** https://docs.stripe.com/payments/save-and-reuse#charge-saved-payment-method */
async function chargeCard(
  stripe: Stripe,
  { topUpId, accountId, amountMicros, customerId }: CardOrder,
): Promise<CardOutcome> {
  try {
    const { data } = await stripe.customers.listPaymentMethods(customerId, { type: "card", limit: 1 });
    const [card] = data;
    if (card === undefined) return { kind: "declined", reason: "no_card" };
    const { status } = await stripe.paymentIntents.create(
      {
        amount: amountMicros / MICROS_PER_CENT,
        currency: CURRENCY,
        customer: customerId,
        payment_method: card.id,
        // Nobody is there to be sent anywhere.
        automatic_payment_methods: { enabled: true, allow_redirects: "never" },
        off_session: true,
        confirm: true,
        description: PRODUCT,
        metadata: { top_up_id: topUpId, account_id: accountId },
      },
      { idempotencyKey: topUpId },
    );
    return status === "succeeded" || status === "processing"
      ? { kind: "accepted" }
      : { kind: "declined", reason: status };
  } catch (error) {
    const reason = declineOf(error);
    if (reason === null) throw unavailable(error);
    return { kind: "declined", reason };
  }
}

/** Why it will never be done, in a word; null where nobody knows whether it was, or it may be done when asked again. */
function declineOf(error: unknown): string | null {
  if (error instanceof Stripe.errors.StripeCardError) return error.decline_code ?? error.code ?? "card_declined";
  // No such customer any more, or nothing that this card can do; a 409 is the same request under way.
  const isRefused = error instanceof Stripe.errors.StripeInvalidRequestError && error.statusCode !== 409;
  return isRefused ? (error.code ?? "refused") : null;
}

/** Stripe's words may hold what it was sent, so they stay out of answers; its request id leads to them. */
function unavailable(error: unknown): unknown {
  if (!(error instanceof Stripe.errors.StripeError)) return error;
  const { type, code, statusCode, requestId } = error;
  log("error", "stripe refused", { type, code, status: statusCode, stripe_request_id: requestId });
  return new ApiError("payment_unavailable", "Stripe did not do what was asked of it; try again.");
}

async function answered<T>(asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    throw unavailable(error);
  }
}

function refuse(): never {
  throw new ApiError("unauthenticated", "This request is not signed by our Stripe account, or not just now.");
}

function told(event: Stripe.Event): PaymentEvent {
  const { id, type } = event;
  const objectId = "id" in event.data.object ? (event.data.object.id ?? null) : null;
  return { id, type, objectId, news: newsOf(event) };
}

const OTHER: PaymentNews = { kind: "other" };

function newsOf(event: Stripe.Event): PaymentNews {
  const { type } = event;
  if (type === "checkout.session.completed" || type === "checkout.session.async_payment_succeeded") {
    return paidNews(event.data.object);
  }
  if (type === "checkout.session.async_payment_failed" || type === "checkout.session.expired") {
    const kind = type === "checkout.session.expired" ? "checkout_expired" : "checkout_failed";
    return { kind, topUpId: event.data.object.metadata?.top_up_id ?? null };
  }
  if (type === "payment_intent.succeeded") {
    const { id: paymentIntent, metadata, amount_received, currency } = event.data.object;
    const amountMicros = dollars(amount_received, currency);
    return { kind: "charge_paid", topUpId: metadata.top_up_id ?? null, paymentIntent, amountMicros };
  }
  if (type === "payment_intent.payment_failed") {
    const { metadata, last_payment_error: error } = event.data.object;
    const reason = error?.decline_code ?? error?.code ?? "card_declined";
    return { kind: "charge_failed", topUpId: metadata.top_up_id ?? null, reason };
  }
  if (type === "charge.refunded") {
    const { payment_intent, amount_refunded, currency } = event.data.object;
    const paymentIntent = idOf(payment_intent);
    if (paymentIntent === null) return OTHER;
    return { kind: "refunded", paymentIntent, amountMicros: dollars(amount_refunded, currency) };
  }
  // Not created and closed: an inquiry takes no money, and what is closed may have been won or lost.
  if (type === "charge.dispute.funds_withdrawn" || type === "charge.dispute.funds_reinstated") {
    const { payment_intent, amount, currency } = event.data.object;
    const paymentIntent = idOf(payment_intent);
    if (paymentIntent === null) return OTHER;
    const reinstated = type === "charge.dispute.funds_reinstated";
    return { kind: "dispute", paymentIntent, amountMicros: dollars(amount, currency), reinstated };
  }
  return OTHER;
}

function paidNews(session: Stripe.Checkout.Session): PaymentNews {
  const { payment_status, payment_intent, amount_total, currency, metadata, customer } = session;
  const paymentIntent = idOf(payment_intent);
  // Unpaid: by a debit that takes days, and is told of when it has come.
  if (payment_status !== "paid" || paymentIntent === null) return OTHER;
  const amountMicros = dollars(amount_total, currency);
  const customerId = idOf(customer);
  return { kind: "checkout_paid", topUpId: metadata?.top_up_id ?? null, paymentIntent, amountMicros, customerId };
}

function idOf(object: string | { readonly id: string } | null): string | null {
  return typeof object === "string" ? object : (object?.id ?? null);
}

function dollars(cents: number | null, currency: string | null): Micros | null {
  return cents === null || currency !== CURRENCY ? null : micros(cents * MICROS_PER_CENT);
}
