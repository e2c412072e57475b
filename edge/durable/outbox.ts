// Does what is owed on one lane by alarm, and so apart from every other lane: webhooks, the replies of a chat, or what an
// account's card is to be charged. It holds no truth: the database says what is due, and when a wake is lost the
// Dispatcher's sweep repeats it.
import { DurableObject } from "cloudflare:workers";
import type { Lane } from "../../db/schema.ts";
import { deliverChat, platformOf } from "../integrations/deliver.ts";
import { describeError, log } from "../platform/log.ts";
import { remoteBell } from "../platform/objects.ts";
import { cloudflarePorts } from "../platform/ports.ts";
import { chargeDue, chargedAccount } from "../services/payments/charge.ts";
import type { Ports } from "../services/ports.ts";
import { deliverDue } from "../services/webhooks/deliver.ts";
import { readSettings, type Settings } from "../settings.ts";

const RETRY_MS = 5_000;

export class Outbox extends DurableObject<Env> {
  /** Idempotent and cheap: an Outbox that is about to look anyway is not woken again. */
  async wake(lane: Lane): Promise<void> {
    await this.ctx.storage.put("lane", lane); // an alarm does not know the object's name
    await this.#wakeBy(Date.now());
  }

  async #wakeBy(timeMs: number): Promise<void> {
    const set = await this.ctx.storage.getAlarm();
    if (set === null || set > timeMs) await this.ctx.storage.setAlarm(timeMs);
  }

  /** Cloudflare gives up on an alarm that throws six times, so this one never throws and always sets the next. */
  override async alarm(): Promise<void> {
    const lane = await this.ctx.storage.get<Lane>("lane");
    if (lane === undefined) return;
    try {
      const settings = readSettings(this.env);
      const ports = cloudflarePorts(this.env, settings, remoteBell(this.env.DISPATCHER));
      const next = await this.#deliver(ports, settings, lane);
      if (next !== null) await this.#wakeBy(next);
    } catch (error) {
      log("error", "deliveries failed", { error: describeError(error) });
      await this.#wakeBy(Date.now() + RETRY_MS);
    }
  }

  async #deliver(ports: Ports, settings: Settings, lane: Lane): Promise<number | null> {
    const platform = platformOf(lane);
    if (platform !== undefined) return await deliverChat(ports, settings, lane, platform);
    const accountId = chargedAccount(lane);
    return accountId === undefined ? await deliverDue(ports, lane) : await chargeDue(ports, accountId);
  }
}
