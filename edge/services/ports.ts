// What services need from the world. They take it as arguments and touch nothing else (no clock, randomness,
// network or environment of their own), so that tests and a simulator can run the same code against theirs.
import type { Database } from "../../db/database.ts";
import type { Lane } from "../../db/schema.ts";
import { DEFAULT_LEASE_TIMES, type HeartbeatRequest, type LeaseTimes } from "../../shared/contract/runner.ts";
import type { AccountId, ClipId, RunnerId, TopUpId } from "../../shared/ids.ts";
import type { Micros } from "../../shared/pricing.ts";

export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
}

export interface Random {
  /** Fresh bytes, unpredictable outside tests. */
  bytes(count: number): Uint8Array<ArrayBuffer>;
}

/** Pure functions, but asynchronous in workerd; a simulator brings synchronous ones to stay in order. */
export interface Digest {
  sha256(text: string): Promise<Uint8Array<ArrayBuffer>>;
  hmacSha256(key: Uint8Array<ArrayBuffer>, text: string): Promise<Uint8Array<ArrayBuffer>>;
}

/**
 * The Dispatcher, as services call it. A call that is lost costs seconds, never a clip, so none of them fails.
 */
export interface Bell {
  /** A clip of this model has become claimable, and expires at this time unless it is started. */
  ring(model: string, expiresAtMs: number): Promise<void>;
  /** This runner's parked polls are to be answered empty. */
  dismiss(runnerId: RunnerId): Promise<void>;
  /** Sweep at this time or before. */
  wakeBy(timeMs: number): Promise<void>;
}

/** Progress between two writes of the database, and who waits for it; may forget at any time, and never fails. */
export interface ProgressFeed {
  put(clipId: ClipId, attempt: number, progress: HeartbeatRequest): Promise<void>;
  get(clipId: ClipId, attempt: number): Promise<HeartbeatRequest | null>;
  /** The clip's state has changed in the database. */
  nudge(clipId: ClipId): Promise<void>;
  /**
   * Resolves once something has changed since `seen` was returned, or after `waitMs`, with what to pass as `seen` next.
   * A change that the feed forgot is not told.
   */
  watch(clipId: ClipId, seen: number, waitMs: number): Promise<number>;
}

/** Signs a PUT that carries exactly these headers. */
export interface UploadSigner {
  signPut(put: {
    readonly key: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly nowMs: number;
    readonly validMs: number;
  }): Promise<string>;
}

export interface StoredObject {
  readonly bytes: number;
  /** Base64, or null where the bucket has not computed one. */
  readonly md5: string | null;
  /** As in the ETag header, with its quotes. */
  readonly etag: string;
}

export interface ObjectStore {
  head(key: string): Promise<StoredObject | null>;
  /** The bytes from `offset`; null when the object is gone. */
  read(key: string, offset: number, length: number): Promise<ReadableStream<Uint8Array> | null>;
  /** A key that is not there is removed already. At most 1,000. */
  remove(keys: readonly string[]): Promise<void>;
}

/** One POST to a server that is not ours. */
export interface OutboundPost {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** For all of it, the answer's body included. */
  readonly timeoutMs: number;
  /** Of the answer's body; what comes after is not read. */
  readonly answerBytes: number;
}
export interface OutboundAnswer {
  readonly status: number;
  readonly retryAfter: string | null;
  readonly body: string;
}
export interface Outbound {
  /** Follows no redirect. Throws when there is no answer in time. */
  post(request: OutboundPost): Promise<OutboundAnswer>;
}

export interface Resolver {
  /** Every IPv4 and IPv6 address of the name. Throws when that cannot be found out. */
  resolve(host: string): Promise<readonly string[]>;
}

/** Keeps what must be read again but never lie open. `context` must be the same when it is opened. */
export interface Vault {
  seal(text: string, context: string): Promise<string>;
  open(sealed: string, context: string): Promise<string>;
}

/** The Outboxes, as services call them. A call that is lost costs seconds, never a delivery, so it does not fail. */
export interface Outboxes {
  wake(lane: Lane): Promise<void>;
}

export interface PromptReview {
  readonly accountId: AccountId;
  readonly model: string;
  readonly prompt: string;
}
export interface ClipReview extends PromptReview {
  readonly clipId: ClipId;
  /** Signed URLs of what was made of it, by kind: the poster and the preview are the frames to look at. */
  readonly files: Readonly<Record<string, string>>;
}
export type Verdict =
  | { readonly allowed: true }
  | { readonly allowed: false; readonly by: string /** For the operator. */; readonly reason: string };
/** Says what may be made and handed out. Its promises reject when it has no verdict. */
export interface Moderator {
  reviewPrompt(review: PromptReview): Promise<Verdict>;
  reviewClip(review: ClipReview): Promise<Verdict>;
}
export interface Moderation {
  /** Asked in this order until one refuses; none by default. */
  readonly moderators: readonly Moderator[];
  /** What a moderator that has no verdict comes to. */
  readonly withoutVerdict: "wait" | "allow";
}

/** A page of Stripe's on which a top-up is paid. */
export interface CheckoutOrder {
  readonly topUpId: TopUpId;
  readonly accountId: AccountId;
  readonly amountMicros: Micros;
  readonly successUrl: string;
  readonly cancelUrl: string;
  /** Keep the payer's card, with a new customer of Stripe's. */
  readonly saveCard: boolean;
}

/** A top-up that is paid by a kept card, without anybody there. */
export interface CardOrder {
  readonly topUpId: TopUpId;
  readonly accountId: AccountId;
  readonly amountMicros: Micros;
  /** Whose card. */
  readonly customerId: string;
}
/** Accepted is not paid: that it is paid an event says. Declined is for good; the reason is a word of Stripe's or ours. */
export type CardOutcome = { readonly kind: "accepted" } | { readonly kind: "declined"; readonly reason: string };

/** What an event of Stripe's says, in our units; `amountMicros` is null for another currency than US dollars. */
export type PaymentNews =
  | {
      readonly kind: "checkout_paid";
      readonly topUpId: string | null;
      readonly paymentIntent: string;
      readonly amountMicros: Micros | null;
      /** With whom the card is kept. */
      readonly customerId: string | null;
    }
  | {
      readonly kind: "charge_paid";
      readonly topUpId: string | null;
      readonly paymentIntent: string;
      readonly amountMicros: Micros | null;
    }
  | { readonly kind: "charge_failed"; readonly topUpId: string | null; readonly reason: string }
  | { readonly kind: "checkout_failed" | "checkout_expired"; readonly topUpId: string | null }
  | { readonly kind: "refunded"; readonly paymentIntent: string; readonly amountMicros: Micros | null }
  | {
      readonly kind: "dispute";
      readonly paymentIntent: string;
      readonly amountMicros: Micros | null;
      readonly reinstated: boolean;
    }
  | { readonly kind: "other" };

export interface PaymentEvent {
  readonly id: string;
  readonly type: string;
  /** Of the session, charge or dispute; null where it has none. */
  readonly objectId: string | null;
  readonly news: PaymentNews;
}

/** Stripe. What it does not do or answer is thrown as payment_unavailable. */
export interface Payments {
  /** Once per top-up: a second call with the same order returns the same page. */
  openCheckout(order: CheckoutOrder): Promise<{ readonly sessionId: string; readonly url: string }>;
  /** Once per top-up, as a page is. Where nobody knows whether it was done, payment_unavailable is thrown. */
  chargeCard(order: CardOrder): Promise<CardOutcome>;
  /** Null while the payment has no receipt. */
  findReceipt(paymentIntent: string): Promise<string | null>;
  /** Throws unauthenticated for what Stripe has not signed in the last minutes. `body` is to the byte as it came. */
  readEvent(body: string, signature: string | undefined, nowMs: number): Promise<PaymentEvent>;
}

export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;
/** One line about something that happened; never with a key, a token or a signed URL in it. */
export type Log = (level: "info" | "warn" | "error", message: string, fields?: LogFields) => void;

export interface Times extends LeaseTimes {
  readonly downloadUrlMs: number;
  /** How much longer a clip must have waited for a runner to load another model for it. */
  readonly loadedModelMs: number;
  /** How long a clip waits to be started, unless its order says otherwise. */
  readonly queuedMs: number;
  readonly outputKeptMs: number;
  /** Webhook messages, with their deliveries and attempts, and what became of deliveries to triggers. */
  readonly messagesKeptMs: number;
  /** A customer's picture, from when it is ready. */
  readonly uploadKeptMs: number;
  readonly idempotencyMs: number;
}

const HOUR_MS = 3_600_000;

export const DEFAULT_TIMES: Times = {
  ...DEFAULT_LEASE_TIMES,
  downloadUrlMs: HOUR_MS,
  loadedModelMs: 60_000,
  queuedMs: 24 * HOUR_MS,
  outputKeptMs: 7 * 24 * HOUR_MS,
  messagesKeptMs: 30 * 24 * HOUR_MS,
  uploadKeptMs: 24 * HOUR_MS,
  idempotencyMs: 24 * HOUR_MS,
};

/** The first key signs, all verify: a key is rotated by putting a new one in front. */
export interface SigningKey {
  readonly id: string;
  readonly secret: Uint8Array<ArrayBuffer>;
}
export type SigningKeys = readonly [SigningKey, ...SigningKey[]];

export interface Ports {
  readonly db: Database;
  readonly clock: Clock;
  readonly random: Random;
  readonly digest: Digest;
  readonly bell: Bell;
  readonly feed: ProgressFeed;
  readonly signer: UploadSigner;
  readonly store: ObjectStore;
  readonly outbound: Outbound;
  readonly resolver: Resolver;
  readonly vault: Vault;
  readonly outboxes: Outboxes;
  readonly moderation: Moderation;
  /** Null where the deployment takes no payments. */
  readonly payments: Payments | null;
  readonly log: Log;
  /** Names the request that is being answered; null where none is, as in an alarm. */
  readonly requestId: string | null;
  /** Hosts that webhooks may reach over http and at any address: an operator's own receivers. */
  readonly trustedHosts: ReadonlySet<string>;
  readonly times: Times;
  readonly signingKeys: SigningKeys;
  /** Scheme and host of every URL that we hand out; never the request's own. */
  readonly publicOrigin: string;
  /** Of this edge, like 0.1.0: which runners it works with. */
  readonly version: string;
}
