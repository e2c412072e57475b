// A customer's people who pay: who buy credit, leave pages unpaid, have cards charged for them, and take money back; and
// Stripe, which tells of all of it in any order until the edge has answered.
import type { SetAutoTopUp } from "../../../shared/contract/auto-top-up.ts";
import type { CreateTopUp } from "../../../shared/contract/payments.ts";
import type { AccountId } from "../../../shared/ids.ts";
import type { Random } from "../random.ts";
import type { Link } from "../world/network.ts";
import { type Payment, SIGNED } from "../world/stripe.ts";
import type { World } from "../world/world.ts";
import type { Market } from "./client.ts";

const ACTIONS = { buy: 4, repeat: 2, leave: 8, refund: 2, dispute: 1, automate: 4, end: 1 } as const;
const CENT = 10_000;
const URLS = { success_url: "https://shop.test/paid", cancel_url: "https://shop.test/" } as const;
/** Clips cost little beside a top-up, so most thresholds are above what a first one brings. */
const THRESHOLDS = [1_000, 20_000_000, 120_000_000, 120_000_000] as const;
const TELLS_AT_ONCE = 3;
const TRIES = 400;

interface Order {
  readonly body: CreateTopUp;
  readonly idempotencyKey: string;
}

export class Payer {
  readonly #world: World;
  readonly #link: Link;
  readonly #random: Random;
  readonly #market: Market;
  readonly #accountId: AccountId;
  readonly #orders: Order[] = [];

  constructor(world: World, market: Market, accountId: AccountId) {
    this.#world = world;
    this.#link = world.link();
    this.#random = world.random.fork();
    this.#market = market;
    this.#accountId = accountId;
  }

  /** While nothing fails yet: in most cases a card is kept and charged from then on. */
  async begin(): Promise<void> {
    const { stripe } = this.#world;
    await this.#buy({ body: { ...this.#drawBody(), save_card: true }, idempotencyKey: "first" });
    const [page] = stripe.pages.filter(({ payment }) => payment.accountId === this.#accountId);
    if (page === undefined || this.#random.chance(0.2)) return;
    stripe.leave(page, true);
    await this.#act("automate");
  }

  async run(until: () => boolean): Promise<void> {
    while (!until()) {
      await this.#world.schedule.sleep(this.#random.between(500, 8_000));
      await this.#act(this.#random.weighted(ACTIONS));
    }
  }

  /** Nothing more is charged by itself. */
  async end(): Promise<void> {
    await this.#link.send("end_auto_top_up", { key: this.#market.key });
  }

  async #act(action: keyof typeof ACTIONS): Promise<void> {
    const { key } = this.#market;
    const { stripe } = this.#world;
    switch (action) {
      case "buy":
        return await this.#buy({ body: this.#drawBody(), idempotencyKey: `top-up-${this.#random.bits()}` });
      case "repeat":
        if (this.#orders.length > 0) await this.#buy(this.#random.pick(this.#orders));
        return;
      case "leave": {
        const pages = stripe.pages.filter(({ over, payment }) => !over && payment.accountId === this.#accountId);
        if (pages.length > 0) stripe.leave(this.#random.pick(pages), this.#random.chance(0.8));
        return;
      }
      case "refund":
        return this.#ofPaid((payment) => {
          // Often in two parts, which may be told the later one first.
          if (this.#random.chance(0.6)) stripe.refund(payment, 0.5);
          stripe.refund(payment, 1);
        });
      case "dispute":
        return this.#ofPaid((payment) => stripe.dispute(payment));
      case "automate":
        await this.#link.send("set_auto_top_up", { key, settings: this.#drawSettings() });
        return;
      case "end":
        await this.#link.send("end_auto_top_up", { key });
    }
  }

  #ofPaid(act: (payment: Payment) => void): void {
    const { payments } = this.#world.stripe;
    const paid = [...payments.values()].filter(
      ({ paid, accountId, refundedMicros, amountMicros }) =>
        paid && accountId === this.#accountId && refundedMicros < amountMicros,
    );
    if (paid.length > 0) act(this.#random.pick(paid));
  }

  async #buy(order: Order): Promise<void> {
    this.#orders.push(order);
    await this.#link.send("top_up", { key: this.#market.key, ...order });
  }

  #drawBody(): CreateTopUp {
    const amount = this.#random.pick([500, 2_000, 10_000]) * CENT;
    return { amount_micros: amount, ...URLS, save_card: this.#random.chance(0.6) };
  }

  #drawSettings(): SetAutoTopUp {
    const amount = this.#random.pick([500, 2_000]) * CENT;
    const threshold = this.#random.pick(THRESHOLDS);
    return {
      threshold_micros: threshold,
      amount_micros: amount,
      monthly_cap_micros: amount * this.#random.pick([1, 2, 5]),
    };
  }
}

/** Stripe tells its events: several at a time, in any order, and each again until it is answered well. */
export class Teller {
  readonly #world: World;
  readonly #link: Link;
  readonly #random: Random;

  constructor(world: World) {
    this.#world = world;
    this.#link = world.link();
    this.#random = world.random.fork();
  }

  async run(until: () => boolean): Promise<void> {
    while (!until()) {
      await this.#world.schedule.sleep(this.#random.between(100, 4_000));
      await this.#tell();
    }
  }

  /** Once nothing fails any more: all of them. */
  async settle(): Promise<boolean> {
    for (let tries = 0; tries < TRIES && this.#world.stripe.untold.length > 0; tries++) await this.#tell();
    return this.#world.stripe.untold.length === 0;
  }

  async #tell(): Promise<void> {
    const { untold } = this.#world.stripe;
    const told = Array.from({ length: Math.min(TELLS_AT_ONCE, untold.length) }, () => this.#random.pick(untold));
    await Promise.all(
      told.map(async (body) => {
        const reply = await this.#link.send("stripe_event", { body, signature: SIGNED });
        const at = untold.indexOf(body);
        if (reply.kind !== "answer" || at < 0) return;
        // Now and then it is told again all the same.
        if (!this.#random.chance(0.15)) untold.splice(at, 1);
      }),
    );
  }
}
