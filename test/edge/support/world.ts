// A fresh deployment for each test: an empty migrated database, and ports whose clock the test moves.
import { applyD1Migrations, reset } from "cloudflare:test";
import { cloudflarePorts } from "../../../edge/platform/ports.ts";
import { createAccount } from "../../../edge/services/accounts/create.ts";
import { createClip } from "../../../edge/services/clips/create.ts";
import { getClip } from "../../../edge/services/clips/get.ts";
import { type IssuedKey, issueKey } from "../../../edge/services/keys/issue.ts";
import type { Caller } from "../../../edge/services/keys/verify.ts";
import type { AttemptRef } from "../../../edge/services/leases/attempt.ts";
import { claimClip } from "../../../edge/services/leases/claim.ts";
import { completeAttempt } from "../../../edge/services/leases/complete.ts";
import { heartbeat } from "../../../edge/services/leases/heartbeat.ts";
import { grantCredit } from "../../../edge/services/money/grant.ts";
import type { Bell, Ports, ProgressFeed } from "../../../edge/services/ports.ts";
import { registerRunner } from "../../../edge/services/runners/register.ts";
import { readSettings } from "../../../edge/settings.ts";
import { type Clip, createClipSchema } from "../../../shared/contract/clips.ts";
import type { Claim, CompleteRequest, HeartbeatRequest } from "../../../shared/contract/runner.ts";
import type { AccountId, ClipId, KeyId, RunnerId } from "../../../shared/ids.ts";
import { type Micros, micros } from "../../../shared/pricing.ts";
import { env } from "./env.ts";

/** A clip of the demo model with its defaults: ceil(1000 * 33 / 81). */
export const CLIP_PRICE = 408;
export const DEMO = "turboclip-demo";

/** Records who was rung for and when the alarm is wanted. */
export class RecordingBell implements Bell {
  readonly rings: string[] = [];
  readonly dismissed: RunnerId[] = [];
  readonly expiries: number[] = [];
  readonly wakes: number[] = [];

  async ring(model: string, expiresAtMs: number): Promise<void> {
    this.rings.push(model);
    this.expiries.push(expiresAtMs);
  }

  async dismiss(runnerId: RunnerId): Promise<void> {
    this.dismissed.push(runnerId);
  }

  async wakeBy(timeMs: number): Promise<void> {
    this.wakes.push(timeMs);
  }
}

const forgetfulFeed: ProgressFeed = {
  put: async () => {},
  get: async () => null,
  nudge: async () => {},
  watch: async (_, seen) => seen,
};

let nonces = 0;
export function freshNonce(): string {
  nonces += 1;
  return `nonce-${String(nonces).padStart(16, "0")}`;
}

export const LOADING: HeartbeatRequest = { stage: "load", step: 0, steps: 0 };

/** Four bytes and three bytes with their real MD5; the SHA-256 is only ever the runner's word. */
export const FILES = {
  mp4: new TextEncoder().encode("clip"),
  poster: new TextEncoder().encode("jpg"),
} as const;

async function md5Base64(bytes: Uint8Array): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("MD5", Uint8Array.from(bytes)));
  return btoa(String.fromCharCode(...digest));
}

export async function completion(): Promise<CompleteRequest> {
  const declared = async (bytes: Uint8Array) => ({
    bytes: bytes.length,
    md5: await md5Base64(bytes),
    sha256: "0".repeat(64),
  });
  return {
    outputs: { mp4: await declared(FILES.mp4), poster: await declared(FILES.poster) },
    timings: { denoise: 1.5, decode: 0.25 },
    engine: "cpu/0.1.0",
    model_version: "TurboWan-Demo-quant@3fa1b2c4d5e6",
  };
}

export class World {
  nowMs = Date.UTC(2026, 10, 23, 12);
  readonly bell = new RecordingBell();
  readonly ports: Ports;
  readonly #keys = new Map<AccountId, KeyId>();

  constructor(overrides: Partial<Ports> = {}) {
    const real = cloudflarePorts(env, readSettings(env), this.bell);
    this.ports = { ...real, clock: { now: () => this.nowMs }, feed: forgetfulFeed, ...overrides };
  }

  advance(ms: number): void {
    this.nowMs += ms;
  }

  async account(creditMicros = 1_000_000): Promise<AccountId> {
    const id = await createAccount(this.ports, "a customer");
    if (creditMicros > 0) {
      const amountMicros = micros(creditMicros);
      await grantCredit(this.ports, { accountId: id, amountMicros, reason: "test", idempotencyKey: "first" });
    }
    this.#keys.set(id, (await this.issueKey(id)).id);
    return id;
  }

  async key(accountId: AccountId): Promise<string> {
    return (await this.issueKey(accountId)).key;
  }

  async issueKey(accountId: AccountId, dailyCapMicros: Micros | null = null): Promise<IssuedKey> {
    return await issueKey(this.ports, accountId, { name: "a key", expiresAtMs: null, dailyCapMicros });
  }

  /** The account, by the key that came with it. */
  caller(accountId: AccountId): Caller {
    const keyId = this.#keys.get(accountId);
    if (keyId === undefined) throw new Error("not an account of this world");
    return { accountId, keyId, tokenId: null };
  }

  async runner(): Promise<RunnerId> {
    return (await registerRunner(this.ports, "a runner")).id;
  }

  async order(accountId: AccountId, request: object = {}, idempotencyKey: string | null = null): Promise<Clip> {
    return await this.orderBy(this.caller(accountId), request, idempotencyKey);
  }

  async orderBy(caller: Caller, request: object = {}, idempotencyKey: string | null = null): Promise<Clip> {
    const parsed = createClipSchema.parse({ model: DEMO, prompt: "a red ball", ...request });
    return JSON.parse((await createClip(this.ports, caller, parsed, idempotencyKey)).answer) as Clip;
  }

  async get(accountId: AccountId, id: ClipId): Promise<Clip> {
    return await getClip(this.ports, accountId, id);
  }

  async claim(runnerId: RunnerId, nonce = freshNonce()): Promise<Claim> {
    const claim = await claimClip(this.ports, runnerId, { nonce, models: [DEMO], loaded_model: null });
    if (claim === null) throw new Error("nothing to claim");
    return claim;
  }

  /** A claim that is acknowledged, so that its clip runs. */
  async start(runnerId: RunnerId): Promise<{ claim: Claim; ref: AttemptRef }> {
    const claim = await this.claim(runnerId);
    const ref = { runnerId, token: claim.lease_token };
    await heartbeat(this.ports, ref, LOADING);
    return { claim, ref };
  }

  /** Puts the output files where the runner's signed PUTs would. */
  async upload(claim: Claim): Promise<void> {
    const folder = `clips/${claim.clip_id}/${claim.attempt}`;
    await env.BUCKET.put(`${folder}/clip.mp4`, FILES.mp4);
    await env.BUCKET.put(`${folder}/poster.jpg`, FILES.poster);
  }

  /** From order to success. */
  async finished(accountId: AccountId): Promise<Claim> {
    return await this.finishedBy(this.caller(accountId));
  }

  async finishedBy(caller: Caller): Promise<Claim> {
    await this.orderBy(caller);
    const { claim, ref } = await this.start(await this.runner());
    await this.upload(claim);
    await completeAttempt(this.ports, ref, await completion());
    return claim;
  }
}

/** For `beforeEach`: nothing of another test is left. */
export async function freshDeployment(): Promise<void> {
  await reset();
  await applyD1Migrations(env.DB, env.TEST_MIGRATIONS);
}
