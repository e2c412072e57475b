// Stripe, as the edge meets it through its port: pages on which people pay, cards that are charged without them, and events
// that are told again until they are answered well. It does a thing once per key, and may do it and lose the answer.
import type {
  CardOrder,
  CardOutcome,
  CheckoutOrder,
  PaymentEvent,
  PaymentNews,
  Payments,
} from "../../../edge/services/ports.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { AccountId, TopUpId } from "../../../shared/ids.ts";
import { micros } from "../../../shared/pricing.ts";
import type { Faults } from "../faults.ts";
import type { Random } from "../random.ts";
import { never } from "./database.ts";
import { currentOperation } from "./operation.ts";
import type { Schedule } from "./schedule.ts";

/** What Stripe knows of a payment: the truth that the ledger must come to. */
export interface Payment {
  readonly paymentIntent: string;
  readonly topUpId: TopUpId;
  readonly accountId: AccountId;
  readonly amountMicros: number;
  /** By nobody's hand: a kept card was charged. */
  readonly auto: boolean;
  paid: boolean;
  refundedMicros: number;
  disputedMicros: number;
  /** Its bank has asked for it once; it does so no second time. */
  contested: boolean;
}

/** Somebody's page. */
export interface Page {
  readonly sessionId: string;
  readonly payment: Payment;
  readonly saveCard: boolean;
  over: boolean;
}

interface Tools {
  readonly schedule: Schedule;
  readonly random: Random;
  readonly faults: Faults;
  /** A card is charged now. */
  readonly charged: (order: CardOrder) => void;
}

/** Of a kept card, by customer: the share of its charges that are declined. */
const DECLINES = [0, 0, 0.3, 1] as const;
const CENT = 10_000;
const OUTAGE_MS = [30_000, 400_000] as const;
export const SIGNED = "signed by Stripe";

export class Stripe implements Payments {
  readonly payments = new Map<TopUpId, Payment>();
  readonly pages: Page[] = [];
  /** Events that were not answered well yet; what each of them is told as. */
  readonly untold: string[] = [];
  readonly #outcomes = new Map<TopUpId, CardOutcome>();
  readonly #declines = new Map<string, number>();
  readonly #tools: Tools;
  #events = 0;
  #downUntilMs = 0;

  constructor(tools: Tools) {
    this.#tools = tools;
  }

  readonly openCheckout = async (order: CheckoutOrder): Promise<{ sessionId: string; url: string }> => {
    return await this.#answer(() => {
      const sessionId = `cs_${order.topUpId}`;
      if (!this.payments.has(order.topUpId)) {
        const payment = this.#payment(order, false);
        this.pages.push({ sessionId, payment, saveCard: order.saveCard, over: false });
      }
      return { sessionId, url: `https://checkout.test/${sessionId}` };
    });
  };

  readonly chargeCard = async (order: CardOrder): Promise<CardOutcome> => {
    return await this.#answer(() => {
      const before = this.#outcomes.get(order.topUpId);
      if (before !== undefined) return before;
      const outcome = this.#charge(order);
      this.#outcomes.set(order.topUpId, outcome);
      return outcome;
    });
  };

  readonly findReceipt = async (): Promise<string | null> => null;

  readonly readEvent = async (body: string, signature: string | undefined): Promise<PaymentEvent> => {
    if (signature !== SIGNED) throw new ApiError("unauthenticated", "not Stripe's");
    return JSON.parse(body) as PaymentEvent;
  };

  /** Somebody pays, or lets the page run out. */
  leave(page: Page, pays: boolean): void {
    page.over = true;
    const { payment, sessionId } = page;
    const { topUpId, paymentIntent, amountMicros } = payment;
    if (!pays) {
      this.#tell("checkout.session.expired", sessionId, { kind: "checkout_expired", topUpId });
      return;
    }
    payment.paid = true;
    const customerId = page.saveCard ? `cus_${topUpId}` : null;
    if (customerId !== null) this.#declines.set(customerId, this.#tools.random.pick(DECLINES));
    const news = {
      kind: "checkout_paid",
      topUpId,
      paymentIntent,
      amountMicros: micros(amountMicros),
      customerId,
    } as const;
    this.#tell("checkout.session.completed", sessionId, news);
    // Stripe tells of the payment itself, too, and of some pages twice.
    this.#tellPaid(payment);
    if (this.#tools.random.chance(0.3)) this.#tell("checkout.session.async_payment_succeeded", sessionId, news);
  }

  /** A share of what is left of it is paid back, in whole cents. */
  refund(payment: Payment, share: number): void {
    const left = payment.amountMicros - payment.refundedMicros;
    payment.refundedMicros += Math.floor((left * share) / CENT) * CENT;
    const amountMicros = micros(payment.refundedMicros);
    this.#tell("charge.refunded", `ch_${payment.paymentIntent}`, {
      kind: "refunded",
      paymentIntent: payment.paymentIntent,
      amountMicros,
    });
  }

  /** The payer's bank takes it back, and in half of the cases gives it back. */
  dispute(payment: Payment): void {
    if (payment.contested) return;
    payment.contested = true;
    const id = `dp_${payment.paymentIntent}`;
    const amountMicros = micros(payment.amountMicros);
    const news = { kind: "dispute", paymentIntent: payment.paymentIntent, amountMicros } as const;
    payment.disputedMicros = payment.amountMicros;
    this.#tell("charge.dispute.funds_withdrawn", id, { ...news, reinstated: false });
    if (!this.#tools.random.chance(0.5)) return;
    payment.disputedMicros = 0;
    this.#tell("charge.dispute.funds_reinstated", id, { ...news, reinstated: true });
  }

  #charge(order: CardOrder): CardOutcome {
    const { random, charged } = this.#tools;
    charged(order);
    const payment = this.#payment(order, true);
    if (random.chance(this.#declines.get(order.customerId) ?? 1)) {
      const reason = "insufficient_funds";
      this.#tell("payment_intent.payment_failed", payment.paymentIntent, {
        kind: "charge_failed",
        topUpId: order.topUpId,
        reason,
      });
      return { kind: "declined", reason };
    }
    payment.paid = true;
    this.#tellPaid(payment);
    return { kind: "accepted" };
  }

  #payment({ topUpId, accountId, amountMicros }: CheckoutOrder | CardOrder, auto: boolean): Payment {
    const none = { paid: false, refundedMicros: 0, disputedMicros: 0, contested: false };
    const payment = { paymentIntent: `pi_${topUpId}`, topUpId, accountId, amountMicros, auto, ...none };
    this.payments.set(topUpId, payment);
    return payment;
  }

  #tellPaid({ topUpId, paymentIntent, amountMicros }: Payment): void {
    const news = { kind: "charge_paid", topUpId, paymentIntent, amountMicros: micros(amountMicros) } as const;
    this.#tell("payment_intent.succeeded", paymentIntent, news);
  }

  #tell(type: string, objectId: string, news: PaymentNews): void {
    this.#events += 1;
    const event: PaymentEvent = { id: `evt_stripe_${this.#events}`, type, objectId, news };
    this.untold.push(JSON.stringify(event));
  }

  /** It takes its time; it may refuse, or do what was asked and lose the answer. */
  async #answer<T>(act: () => T): Promise<T> {
    const { schedule, random, faults } = this.#tools;
    const operation = currentOperation();
    await schedule.sleep(random.between(20, 400));
    if (operation.dead) return await never();
    const lost = () => {
      operation.faults += 1;
      return new ApiError("payment_unavailable", "Stripe did not do what was asked of it; try again.");
    };
    if (faults.strikes("stripe_down")) this.#downUntilMs = schedule.nowMs + random.between(...OUTAGE_MS);
    const isDown = this.#downUntilMs > schedule.nowMs && !faults.stopped;
    if (isDown || faults.strikes("stripe_unavailable")) throw lost();
    const answer = act();
    if (faults.strikes("edge_killed")) {
      operation.dead = true;
      operation.onDeath();
      return await never();
    }
    if (faults.strikes("stripe_answer_lost")) throw lost();
    return answer;
  }
}
