// The independent witness: it sees every commit and every answer, and knows nothing of the code that made them.
import { createHash } from "node:crypto";
import type { CardOrder, OutboundPost, Times } from "../../../edge/services/ports.ts";
import type { Clip } from "../../../shared/contract/clips.ts";
import type { Counters } from "../counters.ts";
import type { RowChange } from "../world/change-log.ts";
import type { Operation, Outcome, Requests } from "../world/operation.ts";
import { judgeAnswer } from "./answers.ts";
import type { AnswersContext, StoredFile, Written } from "./context.ts";
import { requestText } from "./creates.ts";
import { type Commit, History } from "./history.ts";
import { type JobsContext, judgeJobs } from "./jobs.ts";
import { Counts } from "./limits.ts";
import { Accountant } from "./money.ts";
import { judgeCardOrder, judgeTopUps } from "./payments.ts";
import { Posts, type Receiver } from "./posts.ts";
import { countAnswer, countCommit } from "./sometimes.ts";
import { Turns } from "./turns.ts";
import { must, Violation } from "./violation.ts";
import { Webhooks } from "./webhooks.ts";

/** What faults have delayed or lost is made good within this time. */
const CALM_AFTER_MS = 240_000;

interface Surroundings {
  readonly times: Times;
  readonly nowMs: () => number;
  readonly isTimed: (untilMs: number) => boolean;
  readonly stored: (key: string) => StoredFile | null;
  readonly counters: Counters;
  /** Since when nothing fails any more; null while anything may. */
  readonly quietSinceMs: () => number | null;
  /** Told of what must not be; the seed ends there. */
  readonly found: (violation: Violation) => void;
}

export class Auditor {
  readonly history = new History();
  readonly accountant = new Accountant();
  readonly #counts = new Counts();
  readonly #surroundings: Surroundings;
  readonly #written = new Map<number, Written>();
  /** SHA-256 of a secret -> the id of its row. */
  readonly #secrets = new Map<string, string>();
  readonly #leases = new Map<string, string>();
  readonly #leasesSeen = new Set<string>();
  readonly #promised = new Map<string, number>();
  readonly #turns = new Turns();
  readonly #webhooks = new Webhooks();
  readonly #posts = new Posts();
  readonly #bodies = new Map<string, string>();
  readonly #urlsGiven = new Set<string>();

  constructor(surroundings: Surroundings) {
    this.#surroundings = surroundings;
  }

  committed(operation: Operation, changes: readonly RowChange[]): void {
    this.#judging(() => {
      const commit = this.history.record(changes);
      judgeJobs(operation, commit, this.#jobsContext());
      this.accountant.judge(operation, commit, this.history);
      this.#counts.judge(commit, this.history);
      this.#judgeAnswersKept(operation, commit);
      this.#posts.committed(commit);
      this.#webhooks.judge(operation, commit, this.#webhooksContext());
      judgeTopUps(operation, commit, this.#webhooksContext());
      this.#note(operation, commit);
      countCommit(operation, commit, this.#surroundings.nowMs(), this.#surroundings.counters);
    });
  }

  /** R1 and J9: an object goes only when its attempt is over and nobody is offered it any more. */
  removed(operation: Operation, key: string): void {
    this.#judging(() => {
      const [, clipId, attempt] = key.split("/");
      const row = this.history.now("clips", clipId ?? "");
      const nowMs = this.#surroundings.nowMs() + operation.skewMs;
      const what = () => `${operation.kind} removed ${key} of a clip that is ${row?.state}, attempt ${row?.attempt}`;
      must(operation.kind === "alarm" && row !== null, "R1", what);
      if (row.attempt !== Number(attempt)) return;
      must(row.state !== "leased" && row.state !== "running", "R1", what);
      must(
        row.state !== "succeeded" || (row.output_expires_at_ms ?? 0) <= nowMs,
        "R1",
        () => `${what()} and is offered`,
      );
      this.#surroundings.counters.add(row.state === "succeeded" ? "output_removed" : "stray_removed");
    });
  }

  /** A webhook has come to the server that it was sent to. */
  arrived(operation: Operation, post: OutboundPost, to: Receiver): void {
    this.#judging(() => {
      const { nowMs, quietSinceMs } = this.#surroundings;
      const calm = nowMs() - (quietSinceMs() ?? Number.POSITIVE_INFINITY) > CALM_AFTER_MS;
      this.#posts.judge(operation, post, to, { ...this.#webhooksContext(), calm });
    });
  }

  /** A server's answer to a webhook has come to the edge. */
  heard(operation: Operation, messageId: string, answer: { status: number; retryAfter: string | null }): void {
    this.#webhooks.heard(operation, messageId, answer);
  }

  /** Stripe is asked to charge a card, and does. */
  charged(order: CardOrder): void {
    this.#judging(() => judgeCardOrder(order, this.history));
  }

  /** A constraint refused the operation's batch. */
  aborted(operation: Operation): void {
    this.#writtenBy(operation).aborted = true;
  }

  ended(operation: Operation, outcome: Outcome): void {
    this.#judging(() => {
      const written = this.#writtenBy(operation);
      judgeAnswer(operation, outcome, written, this.#answersContext());
      countAnswer(operation, outcome, written, this.#surroundings.counters);
      if (operation.kind === "poll") this.#countDrained(operation as Operation<"poll">);
      if (outcome.kind !== "answer") return;
      if (operation.kind === "heartbeat") {
        const { lease } = operation.request as Requests["heartbeat"];
        const { lease_until_ms: untilMs } = outcome.value as { lease_until_ms: number };
        this.#promised.set(lease, Math.max(untilMs, this.#promised.get(lease) ?? 0));
      }
      const { output } = (operation.kind === "get" ? outcome.value : { output: null }) as Pick<Clip, "output">;
      for (const file of output === null ? [] : [output.mp4, output.poster]) this.#urlsGiven.add(file.url);
    });
  }

  #judging(judge: () => void): void {
    try {
      judge();
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      this.#surroundings.found(error);
    }
  }

  /** I1: an answer is kept in the commit that does the work, once, for the window, and never changed. */
  #judgeAnswersKept(operation: Operation, commit: Commit): void {
    const { times, nowMs } = this.#surroundings;
    const kept = commit.idempotency_keys.filter(({ after }) => after !== null);
    const key = (operation.request as { idempotencyKey?: string | null }).idempotencyKey ?? null;
    const works =
      commit.clips.some(({ before }) => before === null) || operation.kind === "grant" || operation.kind === "refund";
    const text = () => `${operation.kind} kept ${kept.length} answers for key ${key}`;
    must(kept.length === (works && key !== null ? 1 : 0), "I1", text);
    for (const { before, after } of commit.idempotency_keys) {
      if (before === null) continue;
      const ageMs = nowMs() + operation.skewMs - before.created_at_ms;
      must(
        after === null && ageMs >= times.idempotencyMs,
        "I1",
        () => `an answer was dropped or replaced after ${ageMs} ms`,
      );
    }
  }

  #note(operation: Operation, commit: Commit): void {
    const written = this.#writtenBy(operation);
    for (const { after } of commit.clips) {
      if (after === null) continue;
      written.clip = after;
      this.#turns.note(after);
      if (after.lease_token !== null) this.#leases.set(after.lease_token, after.id);
    }
    for (const { after } of commit.idempotency_keys) {
      if (after !== null) this.#bodies.set(after.answer, requestText(operation as Operation<"create">));
    }
    for (const { after } of commit.api_key_secrets) if (after !== null) this.#secrets.set(after.sha256, after.key_id);
    for (const { after } of commit.runners) if (after !== null) this.#secrets.set(after.token_sha256, after.id);
    const touched = commit.clips.length + commit.ledger_entries.length + commit.idempotency_keys.length;
    if (touched > 0) written.commits += 1;
  }

  #countDrained({ request }: Operation<"poll">): void {
    const row = this.history.now("runners", this.#keyId(request.runner) ?? "");
    if (row !== null && row.drained_since_ms !== null) this.#surroundings.counters.add("runner_was_drained");
  }

  #writtenBy({ id }: Operation): Written {
    let written = this.#written.get(id);
    if (written === undefined) {
      written = { commits: 0, aborted: false, clip: null };
      this.#written.set(id, written);
    }
    return written;
  }

  #idOf(secret: string): string | null {
    return this.#secrets.get(createHash("sha256").update(secret).digest("hex")) ?? null;
  }

  readonly #keyId = (key: string): string | null => this.#idOf(key);
  readonly #accountOf = (key: string): string | null =>
    this.history.now("api_keys", this.#idOf(key) ?? "")?.account_id ?? null;

  #webhooksContext() {
    const { times, nowMs, counters } = this.#surroundings;
    return { history: this.history, times, nowMs: nowMs(), counters };
  }

  #jobsContext(): JobsContext {
    const { times, nowMs, isTimed, stored } = this.#surroundings;
    return {
      times,
      nowMs: nowMs(),
      accountOf: this.#accountOf,
      runnerOf: this.#keyId,
      isDrained: (id) => (this.history.now("runners", id)?.drained_since_ms ?? null) !== null,
      taken: (clip, atMs) => this.#turns.taken(clip, atMs),
      leasesSeen: this.#leasesSeen,
      promised: this.#promised,
      isTimed,
      isStored: stored,
    };
  }

  #answersContext(): AnswersContext {
    const { times, nowMs, stored } = this.#surroundings;
    return {
      history: this.history,
      times,
      nowMs: nowMs(),
      keyId: this.#keyId,
      accountOf: this.#accountOf,
      runnerOf: this.#keyId,
      clipOfLease: (lease) => this.#leases.get(lease) ?? null,
      bodies: this.#bodies,
      stored,
      refunded: (clipId) => this.accountant.refundedOf(clipId),
      urlsGiven: this.#urlsGiven,
      queued: this.#turns.queued,
    };
  }
}
