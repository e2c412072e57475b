// One request as it is handled by the edge once. A message that the network delivers twice is two operations.
import { AsyncLocalStorage } from "node:async_hooks";
import type { Lane } from "../../../db/schema.ts";
import type { AutoTopUp, SetAutoTopUp } from "../../../shared/contract/auto-top-up.ts";
import type { Balance } from "../../../shared/contract/balance.ts";
import type { Clip, CreateClip } from "../../../shared/contract/clips.ts";
import type { CreateTopUp, TopUp } from "../../../shared/contract/payments.ts";
import type {
  AttemptEndReply,
  Claim,
  CompleteRequest,
  FailRequest,
  HeartbeatReply,
  HeartbeatRequest,
  PollRequest,
  UploadReply,
  UploadRequest,
} from "../../../shared/contract/runner.ts";
import type { Endpoint, IssuedEndpoint, IssuedSecret, WebhookEventType } from "../../../shared/contract/webhooks.ts";
import type { ErrorCode } from "../../../shared/errors.ts";
import type { AccountId, ClipId, EndpointId, EventId, KeyId, RunnerId } from "../../../shared/ids.ts";
import type { Micros } from "../../../shared/pricing.ts";

/** What is asked, by operation. `key` is an API key, `runner` a runner's token, `lease` an attempt's token. */
export interface Requests {
  create: { readonly key: string; readonly body: CreateClip; readonly idempotencyKey: string | null };
  get: { readonly key: string; readonly clipId: ClipId };
  cancel: { readonly key: string; readonly clipId: ClipId };
  balance: { readonly key: string };
  download: { readonly url: string };
  grant: {
    readonly accountId: AccountId;
    readonly amountMicros: Micros;
    readonly reason: string;
    readonly idempotencyKey: string;
  };
  open_account: { readonly name: string };
  limit_account: {
    readonly accountId: AccountId;
    readonly dailyCapMicros: Micros | null;
    readonly maxInFlight: number;
  };
  limit_key: { readonly keyId: KeyId; readonly dailyCapMicros: Micros | null };
  refund: {
    readonly clipId: ClipId;
    /** null: all that is left to be refunded. */
    readonly amountMicros: Micros | null;
    readonly reason: string;
    readonly idempotencyKey: string;
  };
  issue_key: { readonly accountId: AccountId };
  register_runner: { readonly name: string };
  drain_runner: { readonly runnerId: RunnerId };
  resume_runner: { readonly runnerId: RunnerId };
  revoke_key: { readonly keyId: KeyId };
  poll: { readonly runner: string; readonly poll: PollRequest };
  heartbeat: { readonly runner: string; readonly lease: string; readonly beat: HeartbeatRequest };
  uploads: { readonly runner: string; readonly lease: string; readonly upload: UploadRequest };
  complete: { readonly runner: string; readonly lease: string; readonly result: CompleteRequest };
  fail: { readonly runner: string; readonly lease: string; readonly failure: FailRequest };
  release: { readonly runner: string; readonly lease: string };
  create_endpoint: { readonly key: string; readonly url: string; readonly events: readonly WebhookEventType[] | null };
  switch_endpoint: { readonly key: string; readonly endpointId: EndpointId; readonly enabled: boolean };
  delete_endpoint: { readonly key: string; readonly endpointId: EndpointId };
  /** Of the account where no endpoint is named. */
  rotate_secret: { readonly key: string; readonly endpointId: EndpointId | null; readonly overlapMs: number };
  send_test: { readonly key: string; readonly endpointId: EndpointId };
  replay_message: { readonly key: string; readonly eventId: EventId };
  top_up: { readonly key: string; readonly body: CreateTopUp; readonly idempotencyKey: string };
  set_auto_top_up: { readonly key: string; readonly settings: SetAutoTopUp };
  end_auto_top_up: { readonly key: string };
  stripe_event: { readonly body: string; readonly signature: string };
  /** Not asked by anyone: the Dispatcher's timer, and an Outbox's. */
  alarm: Readonly<Record<string, never>>;
  outbox: { readonly lane: Lane };
}

/** What is answered when it goes well. */
export interface Answers {
  create: { readonly clip: Clip; readonly text: string; readonly replayed: boolean };
  get: Clip;
  cancel: Clip;
  balance: Balance;
  download: { readonly status: number; readonly etag: string; readonly length: number };
  grant: string;
  refund: string;
  open_account: AccountId;
  limit_account: null;
  limit_key: null;
  issue_key: { readonly id: KeyId; readonly key: string };
  register_runner: { readonly id: RunnerId; readonly token: string };
  drain_runner: null;
  resume_runner: null;
  revoke_key: null;
  poll: Claim | null;
  heartbeat: HeartbeatReply;
  uploads: UploadReply;
  complete: AttemptEndReply;
  fail: AttemptEndReply;
  release: AttemptEndReply;
  create_endpoint: IssuedEndpoint;
  switch_endpoint: Endpoint;
  delete_endpoint: null;
  rotate_secret: IssuedSecret;
  send_test: EventId;
  replay_message: number;
  top_up: TopUp;
  set_auto_top_up: AutoTopUp;
  end_auto_top_up: AutoTopUp;
  /** What became of the event. */
  stripe_event: string;
  alarm: null;
  outbox: null;
}

export type Kind = keyof Requests;

/** `broken` is a 500: whether anything was committed is not known to who asked. */
export type Outcome<K extends Kind = Kind> =
  | { readonly kind: "answer"; readonly value: Answers[K] }
  | { readonly kind: "refused"; readonly code: ErrorCode }
  | { readonly kind: "broken"; readonly reason: string };

export interface Operation<K extends Kind = Kind> {
  readonly id: number;
  readonly kind: K;
  readonly request: Requests[K];
  readonly startedAtMs: number;
  /** Commits seen when it began; those after this one may have come in between. */
  readonly startedAt: number;
  /** How far the clock of the isolate that handles it is off, in milliseconds. */
  readonly skewMs: number;
  /** Faults that it has met; only then may it be answered with a 500. */
  faults: number;
  /** The isolate is dead: its code never goes on. */
  dead: boolean;
  /** Called when it dies. */
  onDeath: () => void;
}

const current = new AsyncLocalStorage<Operation>();

/** The operation on whose behalf the code now runs. */
export function currentOperation(): Operation {
  const operation = current.getStore();
  if (operation === undefined) throw new Error("nothing of the edge runs outside of an operation");
  return operation;
}

export function runAs<T>(operation: Operation, run: () => T): T {
  return current.run(operation, run);
}

/** How far the clock is off for whoever asks now; outside of any operation it is right. */
export function currentSkewMs(): number {
  return current.getStore()?.skewMs ?? 0;
}
