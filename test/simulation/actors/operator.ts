// The operator: opens the accounts, grants credit before it runs out, and replaces keys.
import type { AccountId, ClipId, KeyId, RunnerId } from "../../../shared/ids.ts";
import { micros } from "../../../shared/pricing.ts";
import type { Random } from "../random.ts";
import type { Link } from "../world/network.ts";
import type { Requests } from "../world/operation.ts";
import type { World } from "../world/world.ts";
import { MODELS } from "./bodies.ts";
import type { Market } from "./client.ts";
import type { RunnerIdentity } from "./runner.ts";

type Grant = Requests["grant"];

/** One customer as the operator knows it. */
export interface Customer {
  readonly accountId: AccountId;
  readonly market: Market;
  keyId: KeyId;
}

const FIRST_CREDIT = [500, 3_000, 40_000] as const;
const MORE_CREDIT = [400, 1_000, 30_000] as const;

export class Operator {
  readonly #world: World;
  readonly #link: Link;
  readonly #random: Random;
  readonly #open: Grant[] = [];
  readonly #done: Grant[] = [];
  readonly #drained = new Set<RunnerId>();

  constructor(world: World) {
    this.#world = world;
    this.#link = world.link();
    this.#random = world.random.fork();
  }

  async openAccount(): Promise<Customer> {
    const accountId = await this.#ask("open_account", { name: "a customer" });
    const { id: keyId, key } = await this.#ask("issue_key", { accountId });
    const amountMicros = micros(this.#random.pick(FIRST_CREDIT));
    await this.#ask("grant", { accountId, amountMicros, reason: "a start", idempotencyKey: "first" });
    return { accountId, keyId, market: { key, clips: [], foreign: [], webhookUrl: null } };
  }

  /** The first one knows every model, so that every clip can be made. */
  async registerRunner(first: boolean): Promise<RunnerIdentity> {
    const { id, token } = await this.#ask("register_runner", { name: "a runner" });
    return { id, token, models: first || this.#random.chance(0.5) ? MODELS : [MODELS[0]] };
  }

  async run(customers: readonly Customer[], runners: readonly RunnerId[], until: () => boolean): Promise<void> {
    while (!until()) {
      await this.#world.schedule.sleep(this.#random.between(1_000, 15_000));
      const customer = this.#random.pick(customers);
      const action = this.#random.weighted({
        grant: 6,
        repeat: 2,
        alter: 1,
        replace_key: 1,
        limit: 2,
        refund: 1,
        drain: 4,
      });
      if (action === "replace_key") await this.#replaceKey(customer);
      else if (action === "refund") await this.#refund(customer);
      else if (action === "drain") await this.#drain(this.#random.pick(runners));
      else if (action === "limit") await this.#limit(customer);
      else if (action === "grant" || this.#done.length === 0) await this.#grant(customer.accountId);
      else {
        const old = this.#random.pick(this.#done);
        const amountMicros = micros(old.amountMicros + (action === "alter" ? 1 : 0));
        await this.#link.send("grant", { ...old, amountMicros });
      }
      if (this.#open.length > 0) await this.#retry(this.#random.pick(this.#open));
    }
  }

  async settle(): Promise<boolean> {
    for (const runnerId of [...this.#drained]) await this.#resume(runnerId);
    for (let tries = 0; tries < 20 && this.#open.length > 0; tries++) await this.#retry(this.#random.pick(this.#open));
    return this.#open.length === 0;
  }

  async #grant(accountId: AccountId): Promise<void> {
    const idempotencyKey = `grant-${this.#random.bits().toString(36)}`;
    const amountMicros = micros(this.#random.pick(MORE_CREDIT));
    const grant = { accountId, amountMicros, reason: "more", idempotencyKey };
    this.#open.push(grant);
    await this.#retry(grant);
  }

  async #retry(grant: Grant): Promise<void> {
    const reply = await this.#link.send("grant", grant);
    const at = this.#open.indexOf(grant);
    if (reply.kind !== "answer" || at < 0) return;
    this.#open.splice(at, 1);
    this.#done.push(grant);
  }

  /** Once every clip has ended, and there is something to give back. */
  async refundSome(customers: readonly Customer[]): Promise<void> {
    for (const customer of customers) await this.#refund(customer);
  }

  async #refund({ market }: Customer): Promise<void> {
    if (market.clips.length === 0) return;
    const clipId = await this.#findCharged(market);
    const newKey = () => `refund-${this.#random.bits().toString(36)}`;
    const amountMicros = this.#random.chance(0.5) ? null : micros(this.#random.pick([1, 60, 200, 400]));
    const refund = { clipId, amountMicros, reason: "sorry", idempotencyKey: newKey() };
    const twin = this.#random.chance(0.5) ? refund : { ...refund, idempotencyKey: newKey() };
    await Promise.all([this.#link.send("refund", refund), this.#link.send("refund", twin)]);
  }

  /** One that was charged, if a few looks find one; else any. */
  async #findCharged({ key, clips }: Market): Promise<ClipId> {
    let clipId = this.#random.pick(clips);
    for (let looks = 0; looks < 4; looks++) {
      const reply = await this.#link.send("get", { key, clipId });
      if (reply.kind === "answer" && reply.value.state === "succeeded") break;
      clipId = this.#random.pick(clips);
    }
    return clipId;
  }

  /** For a while; whatever becomes of the messages, the runner is resumed in the end. */
  async #drain(runnerId: RunnerId): Promise<void> {
    await this.#link.send("drain_runner", { runnerId });
    this.#drained.add(runnerId);
    await this.#world.schedule.sleep(this.#random.between(1_000, 8_000));
    await this.#resume(runnerId);
  }

  async #resume(runnerId: RunnerId): Promise<void> {
    await this.#link.send("resume_runner", { runnerId });
  }

  /** Caps and the number in flight come and go, and may fall below what is already used. */
  async #limit({ accountId, keyId }: Customer): Promise<void> {
    const draw = () => (this.#random.chance(0.5) ? null : micros(this.#random.pick([0, 1_000, 5_000, 60_000])));
    const maxInFlight = this.#random.pick([1, 3, 1_000, 1_000]);
    await this.#link.send("limit_account", { accountId, dailyCapMicros: draw(), maxInFlight });
    await this.#link.send("limit_key", { keyId, dailyCapMicros: draw() });
  }

  async #replaceKey(customer: Customer): Promise<void> {
    const issued = await this.#link.send("issue_key", { accountId: customer.accountId });
    if (issued.kind !== "answer") return;
    const { keyId } = customer;
    customer.keyId = issued.value.id;
    customer.market.key = issued.value.key;
    await this.#link.send("revoke_key", { keyId });
  }

  /** For the beginning, where nothing fails. */
  async #ask<K extends "open_account" | "issue_key" | "grant" | "register_runner">(kind: K, request: Requests[K]) {
    const reply = await this.#link.send(kind, request);
    if (reply.kind !== "answer") throw new Error(`${kind}: ${JSON.stringify(reply)}`);
    return reply.value;
  }
}
