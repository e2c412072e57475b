// One attempt: the guard, the signatures, the POST, and what its answer means.
import { Webhook } from "standardwebhooks";
import type { AttemptResult, DueDelivery } from "../../../db/queries/webhooks/deliveries.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { OutboundAnswer, Ports } from "../ports.ts";
import { checkTarget } from "./guard.ts";
import { parseRetryAfter, waitAfter } from "./schedule.ts";

/** Standard Webhooks asks for 15 to 30 seconds. */
export const ATTEMPT_TIMEOUT_MS = 15_000;
const ANSWER_BYTES = 1_024;
export const GONE = 410;
const TOO_MANY_REQUESTS = 429;
const UNAVAILABLE = 503;

type Source = Pick<Ports, "clock" | "random" | "outbound" | "resolver" | "trustedHosts" | "publicOrigin">;

type Outcome = { readonly answer: OutboundAnswer } | { readonly error: string };

/** Never throws: whatever goes wrong is the attempt's result. */
export async function attempt(ports: Source, due: DueDelivery, secrets: readonly string[]): Promise<AttemptResult> {
  const atMs = ports.clock.now();
  const outcome = await send(ports, due, secrets, atMs);
  const nowMs = ports.clock.now();
  const answer = "answer" in outcome ? outcome.answer : null;
  const delivered = answer !== null && answer.status >= 200 && answer.status <= 299;
  const failures = due.attempts + 1 - due.replayedAfter;
  const retryAfterMs = parseRetryAfter(answer?.retryAfter ?? null, nowMs);
  const waitMs = delivered || answer?.status === GONE ? null : waitAfter(failures, retryAfterMs, ports.random);
  return {
    messageId: due.messageId,
    lane: due.lane,
    before: due,
    atMs,
    durationMs: nowMs - atMs,
    status: answer?.status ?? null,
    error: "error" in outcome ? outcome.error : delivered ? null : `answered ${outcome.answer.status}`,
    answer: answer?.body ?? null,
    state: delivered ? "delivered" : waitMs === null ? "exhausted" : "pending",
    nextAttemptAtMs: waitMs === null ? due.nextAttemptAtMs : nowMs + waitMs,
    holdUntilMs: asksForPeace(answer) && retryAfterMs > 0 ? nowMs + retryAfterMs : null,
  };
}

/** Retry-After then is about the server and not about this message (RFC 9110, 15.6.4; RFC 6585, 4). */
function asksForPeace(answer: OutboundAnswer | null): boolean {
  return answer?.status === TOO_MANY_REQUESTS || answer?.status === UNAVAILABLE;
}

async function send(ports: Source, due: DueDelivery, secrets: readonly string[], atMs: number): Promise<Outcome> {
  if (secrets.length === 0) return { error: "there is no secret to sign with; rotating it makes one" };
  try {
    const url = await checkTarget(ports, due.url, "/url");
    const timestamp = new Date(atMs);
    const signatures = secrets.map((secret) => new Webhook(secret).sign(due.messageId, timestamp, due.payload));
    const headers = {
      "content-type": "application/json",
      "user-agent": "turboclip-webhooks/1",
      "webhook-id": due.messageId,
      "webhook-timestamp": String(Math.floor(atMs / 1_000)),
      "webhook-signature": signatures.join(" "),
    };
    const limits = { timeoutMs: ATTEMPT_TIMEOUT_MS, answerBytes: ANSWER_BYTES };
    return { answer: await ports.outbound.post({ url, headers, body: due.payload, ...limits }) };
  } catch (error) {
    return { error: describe(error) };
  }
}

/** For the customer's eyes, so only what we know to say: a platform's own words may tell of our network. */
function describe(error: unknown): string {
  if (error instanceof ApiError) return error.message;
  if (error instanceof Error && error.name === "TimeoutError") {
    return `no complete answer within ${ATTEMPT_TIMEOUT_MS / 1_000} seconds`;
  }
  return "the connection failed";
}
