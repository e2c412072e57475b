// W1: what happened is told in the commit in which it happened, to whom it is owed and to nobody else, and nothing is
// told that did not happen. What is kept of it goes after its time.
import type { Operation, Requests } from "../world/operation.ts";
import type { Commit, History } from "./history.ts";
import type { EventRow, MessageRow } from "./rows.ts";
import { must } from "./violation.ts";
import type { WebhooksContext } from "./webhooks.ts";

const TOLD = ["started", "succeeded", "failed", "cancelled", "expired"];

export function judgeMessages(
  operation: Operation,
  commit: Commit,
  context: WebhooksContext,
  started: Set<string>,
): void {
  const { history } = context;
  const owed = new Map<string, EventRow>();
  for (const { after } of commit.clip_events) {
    if (after === null || !TOLD.includes(after.event)) continue;
    if (after.event === "started") {
      if (started.has(after.clip_id)) continue;
      started.add(after.clip_id);
    }
    owed.set(after.id, after);
  }
  const messages = new Map<string, MessageRow>();
  for (const { before, after } of commit.webhook_messages) {
    if (after === null) {
      if (before !== null) judgeForgotten(operation, before, context);
      continue;
    }
    must(before === null, "W2", () => `${operation.kind} changed message ${after.id}`);
    messages.set(after.id, after);
    const event = owed.get(after.id);
    if (event === undefined) judgeNotice(operation, after, commit, history);
    else judgeClipMessage(after, event, history);
  }
  for (const { id, clip_id, event } of owed.values()) {
    const clip = history.now("clips", clip_id);
    const lanes = endpointsFor(clip?.account_id ?? "", `clip.${event}`, history);
    if (clip?.webhook_url) lanes.push(`${clip.account_id}@${new URL(clip.webhook_url).host}`);
    judgeLanes(operation, id, lanes, commit);
    must(messages.has(id) === lanes.length > 0, "W1", () => `${operation.kind} told ${event} of ${clip_id} wrongly`);
  }
}

function endpointsFor(accountId: string, type: string, history: History): string[] {
  const wants = (events: string | null) => events === null || (JSON.parse(events) as string[]).includes(type);
  return [...history.all("webhook_endpoints")]
    .filter((row) => row.account_id === accountId && row.disabled_at_ms === null && wants(row.events))
    .map(({ id }) => id);
}

function judgeLanes(operation: Operation, messageId: string, lanes: readonly string[], commit: Commit): void {
  const made = commit.webhook_deliveries
    .filter(({ before, after }) => before === null && after?.message_id === messageId)
    .map(({ after }) => after?.lane ?? "");
  must(made.toSorted().join() === [...lanes].sort().join(), "W1", () => {
    return `${operation.kind} owes ${messageId} to [${lanes.join()}] and made deliveries for [${made.join()}]`;
  });
}

/** The message says what the clip's row says. */
function judgeClipMessage(message: MessageRow, event: EventRow, history: History): void {
  const clip = history.now("clips", event.clip_id);
  const said = JSON.parse(message.payload) as {
    type: string;
    timestamp: string;
    data: { id: string; state: string; price_micros: number; charged_micros: number; error: { code: string } | null };
  };
  const state = event.event === "started" ? "running" : event.event;
  const right =
    clip !== null &&
    message.account_id === clip.account_id &&
    message.type === `clip.${event.event}` &&
    said.type === message.type &&
    said.timestamp === new Date(event.at_ms).toISOString() &&
    said.data.id === clip.id &&
    said.data.state === state &&
    (event.event === "started" || clip.state === state) &&
    said.data.price_micros === clip.price_micros &&
    said.data.charged_micros === (state === "succeeded" ? clip.price_micros : 0) &&
    (said.data.error?.code ?? null) === clip.error_code &&
    !message.payload.includes(clip.prompt);
  must(right, "W1", () => `message ${message.payload} of event ${event.event} of clip ${JSON.stringify(clip)}`);
}

/** A message that is not a clip's: a test, that a card is not charged any more, or that an endpoint was disabled. */
function judgeNotice(operation: Operation, message: MessageRow, commit: Commit, history: History): void {
  const what = () => `${operation.kind} made message ${JSON.stringify(message)}`;
  if (operation.kind === "send_test") {
    must(message.type === "webhook.test", "W1", what);
    const { endpointId } = operation.request as Requests["send_test"];
    const endpoint = history.now("webhook_endpoints", endpointId);
    judgeLanes(operation, message.id, endpoint?.disabled_at_ms === null ? [endpointId] : [], commit);
    return;
  }
  if (message.type === "auto_top_up.failed") {
    const { reason } = (JSON.parse(message.payload) as { data: { reason: string } }).data;
    const row = commit.auto_top_ups.find(({ after }) => after?.account_id === message.account_id)?.after;
    must(row?.last_error === reason, "W1", what);
    judgeLanes(operation, message.id, endpointsFor(message.account_id, message.type, history), commit);
    return;
  }
  const disabled = commit.webhook_endpoints.find(({ before, after }) => {
    return before?.disabled_at_ms === null && after !== null && after.disabled_at_ms !== null;
  });
  must(operation.kind === "outbox" && message.type === "webhook_endpoint.disabled", "W1", what);
  must(message.payload.includes(`"id":"${disabled?.after?.id}"`), "W1", what);
  judgeLanes(operation, message.id, endpointsFor(message.account_id, message.type, history), commit);
}

function judgeForgotten(operation: Operation, message: MessageRow, context: WebhooksContext): void {
  const { history, times, nowMs, counters } = context;
  const ageMs = nowMs + operation.skewMs - message.created_at_ms;
  const left = [...history.all("webhook_deliveries")].filter((row) => row.message_id === message.id);
  must(operation.kind === "alarm" && ageMs >= times.messagesKeptMs && left.length === 0, "R1", () => {
    return `${operation.kind} dropped message ${message.id} after ${ageMs} ms`;
  });
  counters.add("message_forgotten");
}
