// W2 to W4 at the receiver: what comes is what was committed, under one id, signed by the secrets of the time and no
// others; it comes when it is due, to who still wants it, and never to a private address.
import { createHmac } from "node:crypto";
import type { OutboundPost } from "../../../edge/services/ports.ts";
import type { Operation, Requests } from "../world/operation.ts";
import { type Commit, deliveryName } from "./history.ts";
import { must } from "./violation.ts";
import type { WebhooksContext } from "./webhooks.ts";

const SIGNING_AT_ONCE = 5;
/** By which an attempt may be late to a receiver that answers promptly when nothing else fails; a timeout takes 15 s. */
const PROMPT_MS = 10_000;

/** Whom a webhook has come to. */
export interface Receiver {
  /** It answers at once when nothing fails. */
  readonly prompt: boolean;
  /** Its name does not lead to a public address just now. */
  readonly isPrivate: boolean;
  /** It has had this message before, and said so. */
  readonly repeated: boolean;
}

export interface PostContext extends WebhooksContext {
  /** For so long nothing has failed, so that all that is late of earlier is done. */
  readonly calm: boolean;
}

export class Posts {
  /** Owner -> ids of its secrets. */
  readonly #secrets = new Map<string, Set<string>>();
  /** message -> the body that was committed. */
  readonly #bodies = new Map<string, string>();

  committed(commit: Commit): void {
    for (const { after } of commit.webhook_messages) if (after !== null) this.#bodies.set(after.id, after.payload);
    for (const { after } of commit.webhook_secrets) {
      if (after === null) continue;
      const ids = this.#secrets.get(after.owner) ?? new Set();
      this.#secrets.set(after.owner, ids.add(after.id));
    }
  }

  judge(operation: Operation, post: OutboundPost, to: Receiver, context: PostContext): void {
    const { history, nowMs, counters, calm } = context;
    const messageId = post.headers["webhook-id"] ?? "";
    const what = () => `#${operation.id} ${operation.kind} posted ${messageId} to ${post.url}`;
    must(operation.kind === "outbox", "W1", what);
    must(!to.isPrivate, "W3", () => `${what()}, whose name had turned private`);
    const { lane } = operation.request as Requests["outbox"];
    const name = deliveryName(messageId, lane);
    const forms = history.seenSince("webhook_deliveries", name, operation.startedAt).filter((row) => row !== null);
    const clockMs = nowMs + operation.skewMs;
    const due = forms.filter((row) => row.state === "pending" && row.next_attempt_at_ms <= clockMs);
    must(due.length > 0, "W3", () => `${what()}, which was not due: ${JSON.stringify(forms)}`);
    must(
      due.some(({ url }) => url === post.url),
      "W1",
      what,
    );
    judgeWanted(operation, lane, what, context);
    must(post.body === this.#bodies.get(messageId), "W2", () => `${what()} with other bytes: ${post.body}`);
    const sinceMs = Math.max(...due.map((row) => row.next_attempt_at_ms));
    must(!calm || !to.prompt || clockMs - sinceMs <= PROMPT_MS, "W4", () => `${what()} ${clockMs - sinceMs} ms late`);
    this.#judgeSignatures(operation, post, lane, context, what);
    if (to.repeated) counters.add("webhook_sent_twice");
  }

  #judgeSignatures(
    operation: Operation,
    { headers, body }: OutboundPost,
    lane: string,
    { history, nowMs, counters }: PostContext,
    what: () => string,
  ): void {
    const { startedAt, startedAtMs, skewMs } = operation;
    const sentAt = Number(headers["webhook-timestamp"]);
    must(sentAt * 1_000 >= startedAtMs + skewMs - 1_000 && sentAt * 1_000 <= nowMs + skewMs, "W2", what);
    const [owner = ""] = lane.split("@");
    const allowed = new Set<string>();
    const required: string[] = [];
    for (const id of [...(this.#secrets.get(owner) ?? [])].toSorted().toReversed()) {
      const forms = history.seenSince("webhook_secrets", id, startedAt);
      const signs = (atMs: number) => forms.map((row) => row !== null && (row.expires_at_ms ?? Infinity) > atMs);
      const sealed = forms.find((row) => row !== null)?.sealed ?? "";
      const signature = sign(sealed.slice(owner.length + 1), `${headers["webhook-id"]}.${sentAt}.${body}`);
      if (signs(startedAtMs + skewMs).includes(true)) allowed.add(signature);
      if (!signs(nowMs + skewMs).includes(false)) required.push(signature);
    }
    const made = (headers["webhook-signature"] ?? "").split(" ");
    must(made.length > 0 && made.every((one) => allowed.has(one)), "W2", () => `${what()} signed by who may not`);
    const newest = required.slice(0, SIGNING_AT_ONCE);
    const missed = newest.filter((one) => !made.includes(one));
    must(missed.length === 0, "W2", () => `${what()} not signed by ${missed.length} secrets that have not expired`);
    if (made.length > 1) counters.add("webhook_signed_twice");
  }
}

/** Nothing goes to an endpoint that was disabled or deleted before the attempt began. */
function judgeWanted(operation: Operation, lane: string, what: () => string, { history }: PostContext): void {
  if (lane.includes("@")) return;
  const forms = history.seenSince("webhook_endpoints", lane, operation.startedAt);
  const wanted = forms.some((row) => row !== null && row.disabled_at_ms === null);
  must(wanted, "W3", () => `${what()}, an endpoint that had been disabled or deleted`);
}

/** Standard Webhooks 1.0.0, by node:crypto. */
function sign(secret: string, text: string): string {
  const key = Buffer.from(secret.slice("whsec_".length), "base64");
  return `v1,${createHmac("sha256", key).update(text).digest("base64")}`;
}
