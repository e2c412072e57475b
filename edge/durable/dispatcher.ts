// Parks the runners' polls, wakes one when a clip is queued, and times the leases. It holds no truth: every
// poll reads the database before it parks, and a lost Dispatcher costs a few seconds, never a clip.
//
// A client that has gone away cannot be told from one that waits, so a claim is committed before it is
// handed over, is found again by its nonce, and runs out within seconds if nobody acknowledges it.
import { DurableObject } from "cloudflare:workers";
import type { Claim, PollRequest } from "../../shared/contract/runner.ts";
import type { RunnerId } from "../../shared/ids.ts";
import { describeError, log } from "../platform/log.ts";
import { cloudflarePorts } from "../platform/ports.ts";
import { claimClip } from "../services/leases/claim.ts";
import type { Ports } from "../services/ports.ts";
import { sweep } from "../services/sweep.ts";
import { readSettings } from "../settings.ts";
import { Waiters } from "./waiters.ts";

/** A ring is lost with its sender, and its timer with it; while runners poll, no sweep is further away than this. */
const SWEEP_AT_LEAST_MS = 60_000;
const SWEEP_RETRY_MS = 2_000;
/** Heartbeats move deadlines on without telling us; this bounds how often that makes us look in vain. */
const MIN_SWEEP_GAP_MS = 100;

export class Dispatcher extends DurableObject<Env> {
  readonly #ports: Ports;
  readonly #waiters = new Waiters();

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#ports = cloudflarePorts(env, readSettings(env), {
      ring: async (model, expiresAtMs) => await this.ring(model, expiresAtMs),
      dismiss: async (runnerId) => this.dismiss(runnerId),
      wakeBy: async (timeMs) => await this.wakeBy(timeMs),
    });
  }

  /** A claim, or null when the wait was over first. */
  async poll(runnerId: RunnerId, request: PollRequest): Promise<Claim | null> {
    const { nonce, models, loaded_model: loadedModel } = request;
    const deadline = Date.now() + Math.min(request.wait_s * 1_000, this.#ports.times.pollWaitMs);
    const waiter = this.#waiters.enter({ runnerId, nonce, models, loadedModel });
    try {
      await this.wakeBy(Date.now() + SWEEP_AT_LEAST_MS);
      for (;;) {
        const rungFor = waiter.rungFor;
        this.#waiters.answer(waiter);
        try {
          const claim = await claimClip(this.#ports, runnerId, request);
          if (claim !== null) {
            // It took another model's clip, which was first: the one that we were rung for waits for somebody else.
            if (rungFor !== null && claim.request.model !== rungFor) this.#waiters.ring(rungFor);
            return claim;
          }
        } catch (error) {
          // The clip that we were rung for is still waiting: let another one try.
          waiter.rungFor ??= rungFor;
          throw error;
        }
        if ((await this.#waiters.park(waiter, deadline - Date.now())) !== "rung") return null;
      }
    } finally {
      this.#waiters.leave(waiter);
    }
  }

  async ring(model: string, expiresAtMs: number): Promise<void> {
    this.#waiters.ring(model);
    await this.wakeBy(expiresAtMs);
  }

  dismiss(runnerId: RunnerId): void {
    this.#waiters.dismiss(runnerId);
  }

  /** Moves the alarm to this time unless it is set for an earlier one. */
  async wakeBy(timeMs: number): Promise<void> {
    const set = await this.ctx.storage.getAlarm();
    if (set === null || set > timeMs) await this.ctx.storage.setAlarm(timeMs);
  }

  /** Polls that are parked or looking. */
  async waiting(): Promise<number> {
    return this.#waiters.size;
  }

  /** Cloudflare gives up on an alarm that throws six times, so this one never throws and always sets the next. */
  override async alarm(): Promise<void> {
    try {
      const next = await sweep(this.#ports);
      if (next !== null) await this.wakeBy(Math.max(next, Date.now() + MIN_SWEEP_GAP_MS));
    } catch (error) {
      log("error", "sweep failed", { error: describeError(error) });
      await this.wakeBy(Date.now() + SWEEP_RETRY_MS);
    }
  }
}
