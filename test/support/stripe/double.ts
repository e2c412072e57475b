// Stripe, as far as top-ups meet it: it opens pages to pay on, takes payments, keeps and charges cards, gives receipts, and
// signs what it tells.
// Requests are held to its reference (requests.ts). It runs wherever Request and Response do: in workerd and in Node.
import Stripe from "stripe";
import { createPaymentSchema, createSessionSchema, listCardsSchema, parseForm } from "./requests.ts";

/** `lost`: what was asked for is done, and no answer comes. `passes`: nothing goes wrong. */
export type Fault = "lost" | "passes" | { readonly status: 400 | 402 | 500 };

export interface Session {
  readonly id: string;
  readonly paymentIntent: string;
  readonly cents: number;
  readonly currency: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly successUrl: string;
  /** With whom the card is kept once it is paid; null where it is not. */
  readonly customer: string | null;
}

/** What becomes of a kept card's charge: https://docs.stripe.com/testing#declined-payments */
export type Card = "good" | "insufficient_funds" | "authentication_required" | "slow";

export interface Charge {
  readonly paymentIntent: string;
  readonly cents: number;
  readonly currency: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly status: "succeeded" | "processing" | "requires_payment_method";
}

interface Kept {
  readonly request: string;
  readonly status: number;
  readonly body: string;
}

export interface Signed {
  readonly body: string;
  readonly signature: string;
}

export class StripeDouble {
  readonly settings = {
    STRIPE_SECRET_KEY: "sk_test_onlyfortests",
    STRIPE_WEBHOOK_SECRET: "whsec_a-signing-secret-only-for-tests",
    STRIPE_API_URL: "https://stripe.test",
  } as const;
  readonly sessions: Session[] = [];
  /** Of kept cards, by no page. */
  readonly charges: Charge[] = [];
  /** By customer. */
  readonly cards = new Map<string, Card>();
  readonly #kept = new Map<string, Kept>();
  readonly #receipts = new Map<string, string>();
  readonly #faults: Fault[] = [];
  #events = 0;

  /** The next requests meet these, one each. */
  strike(...faults: readonly Fault[]): void {
    this.#faults.push(...faults);
  }

  async handle(request: Request): Promise<Response> {
    const { settings } = this;
    if (request.headers.get("authorization") !== `Bearer ${settings.STRIPE_SECRET_KEY}`) {
      return refused(401, "Invalid API Key provided");
    }
    const fault = this.#faults.shift();
    if (typeof fault === "object") return refused(fault.status, "as it was told");
    const answer = await this.#once(request);
    if (fault === "lost") throw new TypeError("connection reset");
    return new Response(answer.body, {
      status: answer.status,
      headers: { "content-type": "application/json", "request-id": `req_${this.#kept.size}` },
    });
  }

  /** The first answer again for a key that was used; another request under it is an error. https://docs.stripe.com/api/idempotent_requests */
  async #once(request: Request): Promise<Kept> {
    const { pathname: path, search } = new URL(request.url);
    const text = request.method === "GET" ? search.slice(1) : new TextDecoder().decode(await request.arrayBuffer());
    const whole = `${request.method} ${path} ${text}`;
    const key = request.method === "POST" ? request.headers.get("idempotency-key") : null;
    const before = key === null ? undefined : this.#kept.get(key);
    if (before !== undefined) {
      if (before.request === whole) return before;
      const error = { type: "idempotency_error", message: "Keys can only be used with the same parameters" };
      return { request: whole, status: 400, body: JSON.stringify({ error }) };
    }
    const { status, body } = this.#answer(request.method, path, text);
    const kept = { request: whole, status, body: JSON.stringify(body) };
    if (key !== null) this.#kept.set(key, kept);
    return kept;
  }

  #answer(method: string, path: string, text: string): { status: number; body: object } {
    if (method === "POST" && path === "/v1/checkout/sessions") return this.#createSession(text);
    const paymentIntent = /^\/v1\/payment_intents\/(pi_\w+)$/.exec(path)?.[1];
    if (method === "GET" && paymentIntent !== undefined) {
      const receipt = this.#receipts.get(paymentIntent);
      const charge = receipt === undefined ? null : { id: "ch_1", object: "charge", receipt_url: receipt };
      return { status: 200, body: { id: paymentIntent, object: "payment_intent", latest_charge: charge } };
    }
    if (method === "POST" && path === "/v1/payment_intents") return this.#charge(text);
    const customer = /^\/v1\/customers\/(cus_\w+)\/payment_methods$/.exec(path)?.[1];
    if (method === "GET" && customer !== undefined) return this.#listCards(customer, text);
    return invalid(404, `Unrecognized request URL (${method}: ${path})`);
  }

  #createSession(text: string): { status: number; body: object } {
    const parsed = createSessionSchema.safeParse(parseForm(text));
    if (!parsed.success) return invalid(400, parsed.error.message);
    const { line_items, metadata = {}, success_url: successUrl, customer_creation, payment_intent_data } = parsed.data;
    const { quantity, price_data } = line_items[0];
    const number = this.sessions.length + 1;
    const keeps = customer_creation === "always" && payment_intent_data?.setup_future_usage === "off_session";
    const session: Session = {
      ...{ id: `cs_test_${number}`, paymentIntent: `pi_${number}`, cents: quantity * price_data.unit_amount },
      ...{ currency: price_data.currency, metadata, successUrl, customer: keeps ? `cus_${number}` : null },
    };
    this.sessions.push(session);
    const url = `https://checkout.stripe.test/c/pay/${session.id}`;
    return { status: 200, body: { ...sessionObject(session, "unpaid"), payment_intent: null, url } };
  }

  #listCards(customer: string, query: string): { status: number; body: object } {
    const parsed = listCardsSchema.safeParse(parseForm(query));
    if (!parsed.success) return invalid(400, parsed.error.message);
    if (!this.sessions.some((session) => session.customer === customer)) return missing(customer);
    const data = this.cards.has(customer) ? [{ id: `pm_${customer}`, object: "payment_method", type: "card" }] : [];
    return { status: 200, body: { object: "list", url: "", has_more: false, data } };
  }

  /** https://docs.stripe.com/declines: a card error has the payment that it made. */
  #charge(text: string): { status: number; body: object } {
    const parsed = createPaymentSchema.safeParse(parseForm(text));
    if (!parsed.success) return invalid(400, parsed.error.message);
    const { amount: cents, currency, customer, payment_method, metadata } = parsed.data;
    const card = this.cards.get(customer);
    if (card === undefined || payment_method !== `pm_${customer}`) return missing(payment_method);
    const status = ({ good: "succeeded", slow: "processing" } as const)[card as "good" | "slow"];
    const paymentIntent = `pi_auto_${this.charges.length + 1}`;
    const charge: Charge = { paymentIntent, cents, currency, metadata, status: status ?? "requires_payment_method" };
    this.charges.push(charge);
    const body = paymentObject(charge);
    if (status !== undefined) return { status: 200, body };
    const code = card === "authentication_required" ? card : "card_declined";
    const error = { type: "card_error", code, decline_code: card, message: "Declined", payment_intent: body };
    return { status: 402, body: { error } };
  }

  /** How a charge ended, as Stripe tells of it. */
  async tellCharge(charge: Charge, status: Charge["status"] = charge.status): Promise<Signed> {
    if (status === "succeeded") {
      this.#receipts.set(charge.paymentIntent, `https://pay.stripe.test/receipts/${charge.paymentIntent}`);
      return await this.tell("payment_intent.succeeded", { ...paymentObject(charge), amount_received: charge.cents });
    }
    const last_payment_error = { code: "card_declined", decline_code: "do_not_honor" };
    return await this.tell("payment_intent.payment_failed", { ...paymentObject(charge), last_payment_error });
  }

  /** Paid on its page: from now on it has a receipt, and its customer a card where it was asked for. */
  async pay(session: Session, changes: object = {}, type: Stripe.Event["type"] = "checkout.session.completed") {
    if (session.customer !== null) this.cards.set(session.customer, "good");
    this.#receipts.set(session.paymentIntent, `https://pay.stripe.test/receipts/${session.paymentIntent}`);
    return await this.tell(type, { ...sessionObject(session, "paid"), ...changes });
  }

  /** `cents` is all that was refunded of it so far. */
  async refund(
    session: Omit<Session, "id" | "successUrl" | "customer">,
    cents: number,
    currency = session.currency,
  ): Promise<Signed> {
    const charge = { id: `ch_${session.paymentIntent}`, object: "charge", amount: session.cents, currency };
    return await this.tell("charge.refunded", {
      ...{ ...charge, payment_intent: session.paymentIntent, amount_refunded: cents },
    });
  }

  async dispute(
    session: Pick<Session, "paymentIntent" | "currency">,
    cents: number,
    told: "funds_withdrawn" | "funds_reinstated",
  ): Promise<Signed> {
    const { paymentIntent: payment_intent, currency } = session;
    const dispute = { id: `dp_${payment_intent}`, object: "dispute", amount: cents, currency, payment_intent };
    return await this.tell(`charge.dispute.${told}`, dispute);
  }

  /** Under a new event id, signed now or at `atMs`. https://docs.stripe.com/webhooks#verify-manually */
  async tell(type: Stripe.Event["type"], object: object, atMs = Date.now()): Promise<Signed> {
    this.#events += 1;
    const event = { id: `evt_stripe_${this.#events}`, object: "event", type, data: { object } };
    return await this.sign(JSON.stringify(event), atMs);
  }

  async sign(body: string, atMs = Date.now()): Promise<Signed> {
    const signature = await Stripe.webhooks.generateTestHeaderStringAsync({
      payload: body,
      secret: this.settings.STRIPE_WEBHOOK_SECRET,
      timestamp: Math.floor(atMs / 1_000),
      cryptoProvider: Stripe.createSubtleCryptoProvider(),
    });
    return { body, signature };
  }
}

function sessionObject(session: Session, status: "paid" | "unpaid") {
  const { id, paymentIntent: payment_intent, cents: amount_total, currency, metadata, customer } = session;
  const paid = { amount_total, currency, metadata, customer, payment_status: status };
  return { id, object: "checkout.session", payment_intent, ...paid };
}

function paymentObject({ paymentIntent: id, cents: amount, currency, metadata, status }: Charge) {
  return { id, object: "payment_intent", amount, amount_received: 0, currency, metadata, status };
}

/** https://docs.stripe.com/error-codes#resource-missing */
function missing(what: string): { status: number; body: object } {
  const error = { type: "invalid_request_error", code: "resource_missing", message: `No such object: ${what}` };
  return { status: 404, body: { error } };
}

function invalid(status: number, message: string): { status: number; body: object } {
  return { status, body: { error: { type: "invalid_request_error", message } } };
}

function refused(status: number, message: string): Response {
  return Response.json(invalid(status, message).body, { status });
}
