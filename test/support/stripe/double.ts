// Stripe, as far as top-ups meet it: it opens pages to pay on, takes payments, gives receipts, and signs what it tells.
// Requests are held to its reference (requests.ts). It runs wherever Request and Response do: in workerd and in Node.
import Stripe from "stripe";
import { createSessionSchema, parseForm } from "./requests.ts";

/** `lost`: what was asked for is done, and no answer comes. */
export type Fault = "lost" | { readonly status: 400 | 402 | 500 };

export interface Session {
  readonly id: string;
  readonly paymentIntent: string;
  readonly cents: number;
  readonly currency: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly successUrl: string;
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
    if (fault !== undefined && fault !== "lost") return refused(fault.status, "as it was told");
    const answer = await this.#once(request);
    if (fault === "lost") throw new TypeError("connection reset");
    return new Response(answer.body, {
      status: answer.status,
      headers: { "content-type": "application/json", "request-id": `req_${this.#kept.size}` },
    });
  }

  /** The first answer again for a key that was used; another request under it is an error. https://docs.stripe.com/api/idempotent_requests */
  async #once(request: Request): Promise<Kept> {
    const text = new TextDecoder().decode(await request.arrayBuffer());
    const path = new URL(request.url).pathname;
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
    return invalid(404, `Unrecognized request URL (${method}: ${path})`);
  }

  #createSession(text: string): { status: number; body: object } {
    const parsed = createSessionSchema.safeParse(parseForm(text));
    if (!parsed.success) return invalid(400, parsed.error.message);
    const { line_items, metadata = {}, success_url: successUrl } = parsed.data;
    const { quantity, price_data } = line_items[0];
    const number = this.sessions.length + 1;
    const session: Session = {
      ...{ id: `cs_test_${number}`, paymentIntent: `pi_${number}`, cents: quantity * price_data.unit_amount },
      ...{ currency: price_data.currency, metadata, successUrl },
    };
    this.sessions.push(session);
    const url = `https://checkout.stripe.test/c/pay/${session.id}`;
    return { status: 200, body: { ...sessionObject(session, "unpaid"), payment_intent: null, url } };
  }

  /** Paid on its page: from now on it has a receipt. */
  async pay(session: Session, changes: object = {}, type: Stripe.Event["type"] = "checkout.session.completed") {
    this.#receipts.set(session.paymentIntent, `https://pay.stripe.test/receipts/${session.paymentIntent}`);
    return await this.tell(type, { ...sessionObject(session, "paid"), ...changes });
  }

  /** `cents` is all that was refunded of it so far. */
  async refund(session: Session, cents: number, currency = session.currency): Promise<Signed> {
    const charge = { id: `ch_${session.paymentIntent}`, object: "charge", amount: session.cents, currency };
    return await this.tell("charge.refunded", {
      ...{ ...charge, payment_intent: session.paymentIntent, amount_refunded: cents },
    });
  }

  async dispute(session: Session, cents: number, told: "funds_withdrawn" | "funds_reinstated"): Promise<Signed> {
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
  const { id, paymentIntent: payment_intent, cents: amount_total, currency, metadata } = session;
  return { id, object: "checkout.session", payment_intent, amount_total, currency, metadata, payment_status: status };
}

function invalid(status: number, message: string): { status: number; body: object } {
  return { status, body: { error: { type: "invalid_request_error", message } } };
}

function refused(status: number, message: string): Response {
  return Response.json(invalid(status, message).body, { status });
}
