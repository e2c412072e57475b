// W1 and W3 by the rows: what is owed to whom, what each attempt may make of it, when the next one comes, and when an
// endpoint is disabled.
import type { Times } from "../../../edge/services/ports.ts";
import type { Counters } from "../counters.ts";
import type { Operation, Requests } from "../world/operation.ts";
import type { Change, Commit, History } from "./history.ts";
import { judgeMessages } from "./messages.ts";
import type { AttemptRow, DeliveryRow, EndpointRow } from "./rows.ts";
import { must } from "./violation.ts";

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;
const DAY = 24 * HOUR;
/** From docs/webhooks.md and not from the code; each up to a fifth longer. */
const WAITS_MS = [5 * SECOND, 300 * SECOND, 1_800 * SECOND, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, DAY];
const JITTER = 1.2;
const FAILING_MS = 5 * DAY;

/** What a server answered, as it came to the edge. */
interface Heard {
  readonly status: number;
  readonly retryAfter: string | null;
}

export interface WebhooksContext {
  readonly history: History;
  readonly times: Times;
  readonly nowMs: number;
  readonly counters: Counters;
}

export class Webhooks {
  /** operation -> message -> what was answered. */
  readonly #heard = new Map<number, Map<string, Heard>>();
  /** Clips whose start was told. */
  readonly #started = new Set<string>();

  heard(operation: Operation, messageId: string, answer: Heard): void {
    const heard = this.#heard.get(operation.id) ?? new Map<string, Heard>();
    heard.set(messageId, answer);
    this.#heard.set(operation.id, heard);
  }

  judge(operation: Operation, commit: Commit, context: WebhooksContext): void {
    judgeMessages(operation, commit, context, this.#started);
    for (const change of commit.webhook_deliveries) this.#delivery(operation, change, commit, context);
    for (const change of commit.webhook_endpoints) this.#endpoint(operation, change, context);
    this.#held(operation, commit, context);
    if (operation.kind === "outbox") this.#disabledInTime(operation as Operation<"outbox">, commit, context);
  }

  #delivery(operation: Operation, change: Change<DeliveryRow>, commit: Commit, context: WebhooksContext): void {
    const { before, after } = change;
    const what = () => `${operation.kind} made of ${JSON.stringify(before)}: ${JSON.stringify(after)}`;
    if (before === null) {
      must(after?.state === "pending" && after.attempts === 0 && after.replayed_after === 0, "W1", what);
    } else if (after === null) {
      must(operation.kind === "alarm" && before.state !== "pending", "W1", what);
    } else if (after.attempts !== before.attempts) {
      this.#attempted(operation, before, after, commit, context);
    } else if (before.state === "pending" && after.state === "exhausted") {
      const endpoint = context.history.now("webhook_endpoints", after.lane);
      must(!after.lane.includes("@") && (endpoint === null || endpoint.disabled_at_ms !== null), "W1", what);
      context.counters.add("endpoint_went_with_waiting");
    } else if (before.state !== after.state) {
      must(operation.kind === "replay_message" && after.state === "pending", "W1", what);
      must(after.replayed_after === after.attempts, "W3", what);
      context.counters.add("webhook_replayed");
    }
  }

  /** An attempt makes of a delivery what the receiver said, and nothing else. */
  #attempted(
    operation: Operation,
    before: DeliveryRow,
    after: DeliveryRow,
    commit: Commit,
    { counters }: WebhooksContext,
  ): void {
    const { message_id: messageId, lane } = after;
    const what = () => `${operation.kind} made of ${JSON.stringify(before)}: ${JSON.stringify(after)}`;
    const its = operation.kind === "outbox" && (operation.request as Requests["outbox"]).lane === lane;
    must(its, "W4", () => `${what()}, a lane that is not its own`);
    must(before.state === "pending" && after.attempts === before.attempts + 1, "W1", what);
    const log = commit.webhook_attempts.map((change) => change.after).find((row) => isAttempt(row, after)) ?? null;
    must(log !== null, "W1", () => `${what()} without a line in the log`);
    const heard = this.#heard.get(operation.id)?.get(messageId) ?? null;
    must(log.status === (heard?.status ?? null), "W1", () => `${what()} though it heard ${JSON.stringify(heard)}`);
    const delivered = heard !== null && heard.status >= 200 && heard.status <= 299;
    must((after.state === "delivered") === delivered, "W1", () => `${what()} though it heard ${JSON.stringify(heard)}`);
    const failures = after.attempts - after.replayed_after;
    if (delivered) {
      if (failures > 1) counters.add("webhook_retried");
      return;
    }
    if (log.error?.includes("private address")) counters.add("webhook_kept_from_private");
    const waitMs = heard?.status === 410 ? undefined : WAITS_MS[failures - 1];
    if (waitMs === undefined) {
      must(after.state === "exhausted", "W3", what);
      if (heard?.status !== 410) counters.add("webhook_exhausted");
      return;
    }
    must(after.state === "pending", "W1", what);
    const endedAtMs = log.at_ms + log.duration_ms;
    const askedMs = retryAfterMs(heard?.retryAfter ?? null, endedAtMs);
    const waits = after.next_attempt_at_ms - endedAtMs;
    must(waits >= Math.max(waitMs, askedMs) && waits <= Math.max(waitMs * JITTER, askedMs), "W3", () => {
      return `${what()}, which waits ${waits} ms after failure ${failures}; ${askedMs} ms were asked for`;
    });
    if (askedMs > waitMs * JITTER) counters.add("webhook_waited_as_asked");
  }

  /** W3: after a 429 or 503 with Retry-After nothing on the lane is sent before that time, and nothing waits without it. */
  #held(operation: Operation, commit: Commit, { history, nowMs, counters }: WebhooksContext): void {
    if (operation.kind !== "outbox") return;
    const { lane } = operation.request as Requests["outbox"];
    const heard = this.#heard.get(operation.id) ?? new Map<string, Heard>();
    // Whose own attempt another Outbox has overtaken was asked all the same.
    const latestMs = Math.max(0, ...[...heard.values()].map((answer) => heldUntilMs(answer, nowMs + operation.skewMs)));
    for (const { before, after } of commit.webhook_deliveries) {
      if (before === null || after === null || before.attempts !== after.attempts || before.state !== after.state)
        continue;
      const isLater = after.next_attempt_at_ms > before.next_attempt_at_ms && after.next_attempt_at_ms <= latestMs;
      must(after.lane === lane && isLater, "W3", () => `put off ${JSON.stringify(before)}: ${JSON.stringify(after)}`);
      counters.add("webhook_held");
    }
    const asked = commit.webhook_attempts.map(({ after }) => {
      const answer = heard.get(after?.message_id ?? "");
      return after === null || answer === undefined ? 0 : heldUntilMs(answer, after.at_ms + after.duration_ms);
    });
    const untilMs = Math.max(0, ...asked);
    const early = [...history.all("webhook_deliveries")].filter(
      (row) => row.lane === lane && row.state === "pending" && row.next_attempt_at_ms < untilMs,
    );
    must(early.length === 0, "W3", () => `${lane} is to be left alone until ${untilMs}: ${JSON.stringify(early)}`);
  }

  #endpoint(operation: Operation, { before, after }: Change<EndpointRow>, context: WebhooksContext): void {
    const { history, nowMs, counters } = context;
    if (before === null || after === null || before.disabled_at_ms === after.disabled_at_ms) return;
    const what = () => `${operation.kind} made of endpoint ${JSON.stringify(before)}: ${JSON.stringify(after)}`;
    if (after.disabled_reason === null || after.disabled_reason === "requested") {
      must(operation.kind === "switch_endpoint", "W3", what);
    } else if (after.disabled_reason === "gone") {
      const answers = [...(this.#heard.get(operation.id)?.values() ?? [])];
      must(
        answers.some(({ status }) => status === 410),
        "W3",
        what,
      );
      counters.add("endpoint_gone");
    } else {
      const sinceMs = before.failing_since_ms;
      must(sinceMs !== null && sinceMs <= nowMs + operation.skewMs - FAILING_MS, "W3", what);
      counters.add("endpoint_failing");
    }
    const waiting = [...history.all("webhook_deliveries")].filter((row) => row.lane === after.id);
    must(after.disabled_at_ms === null || waiting.every(({ state }) => state !== "pending"), "W1", () => {
      return `${what()}, and deliveries wait for it`;
    });
  }

  /** W3: 410 disables at once; so do five days without a success. */
  #disabledInTime(operation: Operation<"outbox">, commit: Commit, { history, counters }: WebhooksContext): void {
    const { lane } = operation.request;
    const made = commit.webhook_attempts.flatMap(({ after }) => (after === null ? [] : [after]));
    if (commit.webhook_endpoints.length > 0 && made.length === 0) counters.add("webhook_raced");
    const endpoint = history.now("webhook_endpoints", lane);
    if (made.length === 0 || endpoint === null || endpoint.disabled_at_ms !== null) return;
    const what = () => `${JSON.stringify(endpoint)} is enabled after ${JSON.stringify(made)}`;
    must(
      made.every(({ status }) => status !== 410),
      "W3",
      what,
    );
    const failingSinceMs = endpoint.failing_since_ms ?? Number.POSITIVE_INFINITY;
    must(failingSinceMs > operation.startedAtMs + operation.skewMs - FAILING_MS, "W3", what);
  }
}

function isAttempt(row: AttemptRow | null, { message_id, lane, attempts }: DeliveryRow): boolean {
  return row !== null && row.message_id === message_id && row.lane === lane && row.attempt === attempts;
}

/** Until when a server that has answered like this at that time wants to be left alone; 0 where it does not. */
function heldUntilMs({ status, retryAfter }: Heard, atMs: number): number {
  const askedMs = status === 429 || status === 503 ? retryAfterMs(retryAfter, atMs) : 0;
  return askedMs > 0 ? atMs + askedMs : 0;
}

/** At most a day. */
function retryAfterMs(text: string | null, nowMs: number): number {
  if (text === null) return 0;
  const ms = /^\d+$/.test(text) ? Number(text) * SECOND : new Date(text).getTime() - nowMs;
  return Math.min(Math.max(ms, 0), DAY);
}
