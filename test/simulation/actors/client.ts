// A customer's program: it orders clips, with and without Idempotency-Keys, asks for them, cancels them, repeats
// what it got no answer to, and now and then asks for what is not its own. It remembers what it was told.

import type { ClipId } from "../../../shared/ids.ts";
import type { Observer } from "../auditor/observer.ts";
import { Violation } from "../auditor/violation.ts";
import type { Random } from "../random.ts";
import type { Link, Reply } from "../world/network.ts";
import type { Requests } from "../world/operation.ts";
import type { World } from "../world/world.ts";
import { drawBody } from "./bodies.ts";

type Create = Requests["create"];

/** An order whose outcome is not known yet. */
interface OpenOrder {
  readonly body: Create["body"];
  readonly idempotencyKey: string;
}

/** What several clients share: the account's key (which may be replaced), and clips that belong to others. */
export interface Market {
  key: string;
  readonly clips: ClipId[];
  readonly foreign: ClipId[];
  /** Where it may ask to be told of a single clip; null if nowhere. */
  webhookUrl: string | null;
}

const ACTIONS = {
  create: 26,
  create_unkeyed: 6,
  storm: 5,
  same_key_other_body: 4,
  repeat_old: 6,
  get: 22,
  cancel: 8,
  get_foreign: 3,
  cancel_foreign: 1,
  balance: 5,
  download: 8,
  download_tampered: 2,
} as const;

export class Client {
  readonly #world: World;
  readonly #link: Link;
  readonly #random: Random;
  readonly #market: Market;
  readonly #observer: Observer;
  readonly #open: OpenOrder[] = [];
  readonly #done: OpenOrder[] = [];
  readonly #urls: string[] = [];

  constructor(world: World, market: Market, observer: Observer) {
    this.#world = world;
    this.#link = world.link();
    this.#random = world.random.fork();
    this.#market = market;
    this.#observer = observer;
  }

  async run(until: () => boolean): Promise<void> {
    while (!until()) {
      await this.#world.schedule.sleep(this.#random.between(50, 6_000));
      if (this.#world.faults.strikes("client_gone")) {
        await this.#pause(this.#random.between(10_000, 120_000), until);
      }
      if (this.#open.length > 0 && this.#random.chance(0.5)) await this.#retry();
      else await this.#act(this.#random.weighted(ACTIONS));
    }
  }

  async #pause(ms: number, until: () => boolean): Promise<void> {
    for (let left = ms; left > 0 && !until(); left -= 5_000) await this.#world.schedule.sleep(5_000);
  }

  /** I2: whoever did not hear an answer learns it by asking again, in the end. */
  async settle(): Promise<boolean> {
    for (let tries = 0; tries < 20 && this.#open.length > 0; tries++) await this.#retry();
    return this.#open.length === 0;
  }

  async #act(action: keyof typeof ACTIONS): Promise<void> {
    const { key, clips, foreign } = this.#market;
    const clipId = clips.length > 0 ? this.#random.pick(clips) : undefined;
    const foreignId = foreign.length > 0 ? this.#random.pick(foreign) : undefined;
    switch (action) {
      case "create":
        return await this.#order({ body: this.#body(), idempotencyKey: this.#newKey() });
      case "create_unkeyed":
        return this.#created(await this.#link.send("create", { key, body: this.#body(), idempotencyKey: null }));
      case "storm":
        return await this.#storm({ body: this.#body(), idempotencyKey: this.#newKey() });
      case "same_key_other_body":
        return await this.#reuse(() => this.#body());
      case "repeat_old":
        return await this.#reuse(({ body }) => body);
      case "get":
        return clipId === undefined ? undefined : await this.#get(clipId);
      case "get_foreign":
        return foreignId === undefined ? undefined : void (await this.#link.send("get", { key, clipId: foreignId }));
      case "cancel_foreign":
        return foreignId === undefined ? undefined : void (await this.#link.send("cancel", { key, clipId: foreignId }));
      case "cancel":
        return clipId === undefined ? undefined : this.#saw(await this.#link.send("cancel", { key, clipId }));
      case "balance":
        return void (await this.#link.send("balance", { key }));
      case "download":
        return await this.#download((url) => url);
      case "download_tampered":
        return await this.#download((url) => url.replace(/attempt=(\d+)/, "attempt=9$1"));
    }
  }

  async #order(order: OpenOrder): Promise<void> {
    this.#open.push(order);
    await this.#try(order);
  }

  async #retry(): Promise<void> {
    const order = this.#random.pick(this.#open);
    await this.#try(order);
  }

  async #try(order: OpenOrder): Promise<void> {
    const reply = await this.#link.send("create", { key: this.#market.key, ...order });
    this.#created(reply);
    const known = reply.kind === "answer" || (reply.kind === "refused" && reply.code !== "idempotency_in_flight");
    const at = this.#open.indexOf(order);
    if (!known || at < 0 || (reply.kind === "refused" && reply.code === "key_revoked")) return;
    this.#open.splice(at, 1);
    this.#done.push(order);
  }

  /** The same order several times at once. */
  async #storm(order: OpenOrder): Promise<void> {
    this.#open.push(order);
    await Promise.all(Array.from({ length: this.#random.between(2, 4) }, async () => await this.#try(order)));
  }

  async #reuse(bodyOf: (order: OpenOrder) => Create["body"]): Promise<void> {
    if (this.#done.length === 0) return;
    const order = this.#random.pick(this.#done);
    const { idempotencyKey } = order;
    this.#created(await this.#link.send("create", { key: this.#market.key, body: bodyOf(order), idempotencyKey }));
  }

  async #get(clipId: ClipId): Promise<void> {
    const began = this.#observer.begin();
    const reply = await this.#link.send("get", { key: this.#market.key, clipId });
    this.#saw(reply, began);
  }

  async #download(change: (url: string) => string): Promise<void> {
    if (this.#urls.length === 0) return;
    await this.#link.send("download", { url: change(this.#random.pick(this.#urls)) });
  }

  #created(reply: Reply<"create">): void {
    if (reply.kind !== "answer") return;
    const { id } = reply.value.clip;
    if (!this.#market.clips.includes(id)) this.#market.clips.push(id);
    this.#observer.created(id);
  }

  #saw(reply: Reply<"get"> | Reply<"cancel">, began = this.#observer.begin()): void {
    if (reply.kind === "answer") {
      const { output } = reply.value;
      if (output !== null) this.#urls.push(output.mp4.url, output.poster.url);
      try {
        this.#observer.saw(reply.value, began);
      } catch (error) {
        if (error instanceof Violation) this.#world.report(error);
        else throw error;
      }
    }
  }

  #body(): Create["body"] {
    const { webhookUrl } = this.#market;
    const body = drawBody(this.#random);
    return webhookUrl !== null && this.#random.chance(0.3) ? { ...body, webhook_url: webhookUrl } : body;
  }

  #newKey(): string {
    return `order-${this.#random.bits().toString(36)}`;
  }
}
