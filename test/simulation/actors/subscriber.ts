// A customer who is told by webhooks: who opens, switches and deletes endpoints, rotates secrets, and asks for tests
// and for what has been told to be told again.
import type { EndpointId } from "../../../shared/ids.ts";
import type { Random } from "../random.ts";
import type { Link } from "../world/network.ts";
import type { World } from "../world/world.ts";
import type { Market } from "./client.ts";

const ACTIONS = { open: 1, switch: 6, delete: 1, rotate: 3, test: 3, replay: 4 } as const;
const OVERLAP_MS = [0, 5_000, 60_000, 86_400_000] as const;

export class Subscriber {
  readonly #world: World;
  readonly #link: Link;
  readonly #random: Random;
  readonly #market: Market;
  readonly #endpoints: EndpointId[] = [];

  constructor(world: World, market: Market) {
    this.#world = world;
    this.#link = world.link();
    this.#random = world.random.fork();
    this.#market = market;
  }

  /** While nothing fails yet. */
  async begin(): Promise<void> {
    for (let i = this.#random.between(1, 3); i > 0; i--) await this.#open();
    if (this.#random.chance(0.5)) return;
    await this.#rotate(null);
    this.#market.webhookUrl = this.#world.receivers.open(undefined, true);
  }

  async run(until: () => boolean): Promise<void> {
    while (!until()) {
      await this.#world.schedule.sleep(this.#random.between(2_000, 15_000));
      await this.#act(this.#random.weighted(ACTIONS));
    }
  }

  async test(): Promise<void> {
    for (const endpointId of this.#endpoints) {
      await this.#link.send("send_test", { key: this.#market.key, endpointId });
    }
  }

  async #act(action: keyof typeof ACTIONS): Promise<void> {
    const { key } = this.#market;
    if (action === "open" || this.#endpoints.length === 0) return await this.#open();
    const endpointId = this.#random.pick(this.#endpoints);
    switch (action) {
      case "switch":
        await this.#link.send("switch_endpoint", { key, endpointId, enabled: this.#random.chance(0.6) });
        return;
      case "delete":
        await this.#link.send("delete_endpoint", { key, endpointId });
        return;
      case "rotate":
        return await this.#rotate(this.#market.webhookUrl === null || this.#random.chance(0.7) ? endpointId : null);
      case "test":
        await this.#link.send("send_test", { key, endpointId });
        return;
      case "replay": {
        const { seen } = this.#world.receivers;
        if (seen.length > 0) await this.#link.send("replay_message", { key, eventId: this.#random.pick(seen) });
      }
    }
  }

  async #open(): Promise<void> {
    const url = this.#world.receivers.open();
    const events = this.#random.pick([
      null,
      null,
      ["clip.succeeded", "clip.failed", "webhook_endpoint.disabled"],
      ["clip.started", "clip.cancelled", "clip.expired"],
    ] as const);
    const reply = await this.#link.send("create_endpoint", { key: this.#market.key, url, events });
    if (reply.kind === "answer") this.#endpoints.push(reply.value.id);
  }

  async #rotate(endpointId: EndpointId | null): Promise<void> {
    const overlapMs = this.#random.pick(OVERLAP_MS);
    await this.#link.send("rotate_secret", { key: this.#market.key, endpointId, overlapMs });
  }
}
