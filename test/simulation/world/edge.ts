// The edge: each kind of request taken to the services that its route calls, with a Dispatcher and Feeds of its
// own. Only what the routes do themselves is done here again: telling who asks, and reading the signed link.
import { createHash, createHmac } from "node:crypto";
import { type Database, openDatabase } from "../../../db/database.ts";
import { Dispatcher } from "../../../edge/durable/dispatcher.ts";
import { Feed } from "../../../edge/durable/feed.ts";
import { createAccount } from "../../../edge/services/accounts/create.ts";
import { setAccountLimits } from "../../../edge/services/accounts/limit.ts";
import { cancelClip } from "../../../edge/services/clips/cancel.ts";
import { createClip } from "../../../edge/services/clips/create.ts";
import { getClip } from "../../../edge/services/clips/get.ts";
import { download } from "../../../edge/services/files/download.ts";
import { changeKey } from "../../../edge/services/keys/change.ts";
import { issueKey } from "../../../edge/services/keys/issue.ts";
import { revokeKey } from "../../../edge/services/keys/revoke.ts";
import { verifyKey } from "../../../edge/services/keys/verify.ts";
import { completeAttempt } from "../../../edge/services/leases/complete.ts";
import { failAttempt } from "../../../edge/services/leases/fail.ts";
import { heartbeat } from "../../../edge/services/leases/heartbeat.ts";
import { releaseAttempt } from "../../../edge/services/leases/release.ts";
import { signUpload } from "../../../edge/services/leases/upload.ts";
import { getBalance } from "../../../edge/services/money/balance.ts";
import { grantCredit } from "../../../edge/services/money/grant.ts";
import { refundClip } from "../../../edge/services/money/refund.ts";
import type { Bell, Ports, ProgressFeed } from "../../../edge/services/ports.ts";
import { admitRunner } from "../../../edge/services/runners/admit.ts";
import { drainRunner, resumeRunner } from "../../../edge/services/runners/drain.ts";
import { registerRunner } from "../../../edge/services/runners/register.ts";
import { verifyRunner } from "../../../edge/services/runners/verify.ts";
import { readSettings, type Settings } from "../../../edge/settings.ts";
import type { Clip } from "../../../shared/contract/clips.ts";
import type { OutputKind } from "../../../shared/contract/runner.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { ClipId, RunnerId } from "../../../shared/ids.ts";
import type { Faults } from "../faults.ts";
import type { Random } from "../random.ts";
import type { Bucket } from "./bucket.ts";
import { ObjectHost } from "./object-host.ts";
import {
  type Answers,
  currentOperation,
  type Kind,
  type Operation,
  type Outcome,
  type Requests,
  runAs,
} from "./operation.ts";
import { Outboxes } from "./outboxes.ts";
import { paymentRoutes } from "./payment-routes.ts";
import type { Receivers } from "./receivers.ts";
import type { Schedule } from "./schedule.ts";
import type { Stripe } from "./stripe.ts";
import type { Trace } from "./trace.ts";
import { webhookRoutes } from "./webhook-routes.ts";

interface Tools {
  readonly schedule: Schedule;
  readonly random: Random;
  readonly faults: Faults;
  readonly trace: Trace;
  readonly d1: D1Database;
  readonly bucket: Bucket;
  readonly receivers: Receivers;
  readonly stripe: Stripe;
  readonly times: Settings["LEASE_TIMES"];
  /** Commits seen so far. */
  readonly version: () => number;
  /** Told of every operation that ends, whether or not anyone hears of it. */
  readonly ended: (operation: Operation, outcome: Outcome) => void;
}

const SKEW_MS = [-700, 700] as const;
const UNLIMITED_KEY = { name: "a key", expiresAtMs: null, dailyCapMicros: null } as const;
/** Of the edge and, with the same minor, of its runners. */
export const VERSION = "0.1.0";
const utf8 = new TextEncoder();

export class Edge {
  readonly dispatcher: ObjectHost<Dispatcher>;
  readonly ports: Ports;
  readonly #tools: Tools;
  readonly #database: Database;
  readonly #outboxes: Outboxes;
  readonly #feeds = new Map<ClipId, Feed>();
  readonly #admitted = new Map<string, RunnerId>();
  #operations = 0;

  constructor(tools: Tools) {
    this.#tools = tools;
    this.#database = openDatabase(tools.d1);
    const env = {
      PUBLIC_ORIGIN: "https://clips.test",
      R2_S3_ENDPOINT: "https://bucket.test",
      R2_BUCKET: "clips",
      R2_ACCESS_KEY_ID: "id",
      R2_SECRET_ACCESS_KEY: "secret",
      SIGNING_KEYS: `k1:${Buffer.alloc(32, 1).toString("base64")}`,
      ENCRYPTION_KEYS: `k1:${Buffer.alloc(32, 2).toString("base64")}`,
      ADMIN_TOKEN: "tca_a-token-that-is-only-for-the-simulation",
      LEASE_TIMES: JSON.stringify(tools.times),
      DISPATCHER: { getByName: () => this.#remoteBell() },
      makePorts: (settings: Settings, bell: Bell) => this.#makePorts(settings, bell),
    };
    const ended = (outcome: Outcome) => {
      if (outcome.kind === "answer") return "done";
      return outcome.kind === "broken" && outcome.reason === DIED ? "died" : "threw";
    };
    this.dispatcher = new ObjectHost({
      ...tools,
      name: "dispatcher",
      make: (state) => new Dispatcher(state, env as unknown as Env),
      evicted: "dispatcher_evicted",
      fire: async (alarm) => ended(await this.handle("alarm", {}, alarm)),
    });
    this.#outboxes = new Outboxes({
      ...tools,
      env: env as unknown as Env,
      fire: async (lane, alarm) => ended(await this.handle("outbox", { lane }, alarm)),
    });
    this.ports = this.#makePorts(readSettings(env as unknown as Env), this.#remoteBell());
  }

  get operations(): number {
    return this.#operations;
  }

  /** Handles one delivered request, alone or beside others. */
  async handle<K extends Kind>(
    kind: K,
    request: Requests[K],
    run: (operation: Operation<K>) => Promise<unknown> = async () => await this.#routes[kind](request),
  ): Promise<Outcome<K>> {
    const { random, faults, schedule, trace, version } = this.#tools;
    const operation: Operation<K> = {
      id: ++this.#operations,
      kind,
      request,
      startedAtMs: schedule.nowMs,
      startedAt: version(),
      skewMs: faults.strikes("edge_clock_skewed") ? random.between(...SKEW_MS) : 0,
      faults: 0,
      dead: false,
      onDeath: () => {},
    };
    trace.write(`#${operation.id} ${kind} ${JSON.stringify(request)}`);
    const outcome = await new Promise<Outcome<K>>((resolve) => {
      operation.onDeath = () => resolve({ kind: "broken", reason: DIED });
      runAs(operation as Operation, () => run(operation)).then(
        (value) => resolve({ kind: "answer", value: value as Answers[K] }),
        (error: unknown) => resolve(outcomeOf(error)),
      );
    });
    trace.write(`#${operation.id} ${kind} -> ${JSON.stringify(outcome)}`);
    this.#tools.ended(operation as Operation, outcome as Outcome);
    return outcome;
  }

  readonly #routes: { readonly [K in Kind]: (request: Requests[K]) => Promise<Answers[K]> } = {
    create: async ({ key, body, idempotencyKey }) => {
      const { answer, replayed } = await createClip(this.ports, await verifyKey(this.ports, key), body, idempotencyKey);
      return { clip: JSON.parse(answer) as Clip, text: answer, replayed };
    },
    get: async ({ key, clipId }) => await getClip(this.ports, (await verifyKey(this.ports, key)).accountId, clipId),
    cancel: async ({ key, clipId }) =>
      await cancelClip(this.ports, (await verifyKey(this.ports, key)).accountId, clipId),
    balance: async ({ key }) => await getBalance(this.ports, (await verifyKey(this.ports, key)).accountId),
    download: async ({ url }) => {
      const { headers, status, length } = await download(this.ports, {
        link: readLink(url),
        method: "GET",
        range: undefined,
        ifRange: undefined,
        ifNoneMatch: undefined,
      });
      return { status, etag: headers.etag ?? "", length };
    },
    refund: async (refund) => await refundClip(this.ports, refund),
    drain_runner: async ({ runnerId }) => {
      await drainRunner(this.ports, runnerId);
      return null;
    },
    resume_runner: async ({ runnerId }) => {
      await resumeRunner(this.ports, runnerId);
      return null;
    },
    grant: async (grant) => await grantCredit(this.ports, grant),
    open_account: async ({ name }) => await createAccount(this.ports, name),
    limit_account: async ({ accountId, ...limits }) => {
      await setAccountLimits(this.ports, accountId, limits);
      return null;
    },
    limit_key: async ({ keyId, dailyCapMicros }) => {
      await changeKey(this.ports, "operator", keyId, { dailyCapMicros });
      return null;
    },
    register_runner: async ({ name }) => await registerRunner(this.ports, name),
    issue_key: async ({ accountId }) => await issueKey(this.ports, accountId, UNLIMITED_KEY),
    revoke_key: async ({ keyId }) => {
      await revokeKey(this.ports, "operator", keyId);
      return null;
    },
    poll: async ({ runner, poll }) => {
      const { id: runnerId, drained } = await verifyRunner(this.ports, runner);
      await admitRunner(this.ports, runnerId, poll);
      if (drained) return null;
      return await this.dispatcher.enter(async (dispatcher) => await dispatcher.poll(runnerId, poll));
    },
    heartbeat: async ({ runner, lease, beat }) => await heartbeat(this.ports, await this.#attempt(runner, lease), beat),
    uploads: async ({ runner, lease, upload }) =>
      await signUpload(this.ports, await this.#attempt(runner, lease), upload),
    complete: async ({ runner, lease, result }) =>
      await completeAttempt(this.ports, await this.#attempt(runner, lease), result),
    fail: async ({ runner, lease, failure }) =>
      await failAttempt(this.ports, await this.#attempt(runner, lease), failure),
    release: async ({ runner, lease }) => await releaseAttempt(this.ports, await this.#attempt(runner, lease)),
    ...webhookRoutes(() => this.ports),
    ...paymentRoutes(() => this.ports),
    alarm: async () => null,
    outbox: async () => null,
  };

  /** A runner's token is never revoked: once it is known, looking again would only take time. */
  async #admit(token: string): Promise<RunnerId> {
    const known = this.#admitted.get(token);
    if (known !== undefined) return known;
    const { id } = await verifyRunner(this.ports, token);
    this.#admitted.set(token, id);
    return id;
  }

  async #attempt(runner: string, lease: string) {
    return { runnerId: await this.#admit(runner), token: lease };
  }

  #makePorts(settings: Settings, bell: Bell): Ports {
    const { schedule, random, bucket, receivers } = this.#tools;
    return {
      db: this.#database,
      clock: { now: () => schedule.nowMs + currentOperation().skewMs },
      random: { bytes: (count) => random.bytes(count) },
      digest: {
        sha256: async (text) => Uint8Array.from(createHash("sha256").update(text).digest()),
        hmacSha256: async (key, text) => Uint8Array.from(createHmac("sha256", key).update(utf8.encode(text)).digest()),
      },
      bell,
      feed: this.#remoteFeed(),
      signer: bucket.signer,
      store: bucket.store,
      outbound: receivers,
      resolver: receivers,
      // WebCrypto would not stay in order. Who opens for another owner than it was sealed for gets nothing of use.
      vault: {
        seal: async (text, context) => `${context} ${text}`,
        open: async (sealed, context) => (sealed.startsWith(`${context} `) ? sealed.slice(context.length + 1) : sealed),
      },
      outboxes: this.#outboxes,
      moderation: { moderators: [], withoutVerdict: "wait" },
      payments: this.#tools.stripe,
      log: () => {},
      requestId: null,
      trustedHosts: new Set(),
      times: settings.LEASE_TIMES,
      signingKeys: settings.SIGNING_KEYS,
      publicOrigin: settings.PUBLIC_ORIGIN,
      version: VERSION,
    };
  }

  /** As edge/platform/objects.ts has it: what gets lost on the way is no error. */
  #remoteBell(): Bell {
    const call = async (ring: (host: ObjectHost<Dispatcher>) => Promise<void>) => {
      await this.#tools.schedule.sleep(this.#tools.random.between(0, 10));
      if (!this.#tools.faults.strikes("ring_lost")) await ring(this.dispatcher).catch(() => {});
    };
    return {
      ring: async (model, expiresAtMs) =>
        await call(async (host) => await host.enter(async (object) => await object.ring(model, expiresAtMs))),
      dismiss: async (runnerId) =>
        await call(async (host) => await host.enter(async (object) => object.dismiss(runnerId))),
      wakeBy: async (atMs) => await call(async (host) => await host.enter(async (object) => await object.wakeBy(atMs))),
    };
  }

  #remoteFeed(): ProgressFeed {
    const feedOf = (clipId: ClipId): Feed => {
      let feed = this.#tools.faults.strikes("feed_forgot") ? undefined : this.#feeds.get(clipId);
      if (feed === undefined) {
        feed = new Feed({} as DurableObjectState, {} as Env);
        this.#feeds.set(clipId, feed);
      }
      return feed;
    };
    return {
      put: async (clipId, attempt, progress) => feedOf(clipId).put(attempt, progress),
      get: async (clipId, attempt) => feedOf(clipId).get(attempt),
      nudge: async (clipId) => feedOf(clipId).nudge(),
      watch: async (clipId, seen, waitMs) => await feedOf(clipId).watch(seen, waitMs),
    };
  }
}

export const DIED = "the isolate died";

function outcomeOf(error: unknown): Outcome<never> {
  if (error instanceof ApiError) return { kind: "refused", code: error.code };
  const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : "";
  return { kind: "broken", reason: error instanceof Error ? `${error.message}${cause}` : String(error) };
}

function readLink(text: string) {
  const url = new URL(text);
  const [clipId, kind] = url.pathname.split("/").slice(-2);
  const value = (name: string) => url.searchParams.get(name) ?? "";
  return {
    clipId: clipId as ClipId,
    kind: kind as OutputKind,
    attempt: Number(value("attempt")),
    expires: Number(value("expires")),
    kid: value("kid"),
    sig: value("sig"),
  };
}
