// I1, I2 and the money a create needs: what a create or a grant may be answered.
import type { Operation, Outcome, Requests } from "../world/operation.ts";
import { type AnswersContext, keptForms, type Written } from "./context.ts";
import { spendName } from "./history.ts";
import type { AnswerRow } from "./rows.ts";
import { must } from "./violation.ts";

/** Micro-dollars for 81 frames, from the price list and not from the code. */
const BASE_PRICES: Readonly<Record<string, number>> = { "turboclip-demo": 1_000, "turbowan2.1-t2v-1.3b-480p": 20_000 };
const DEFAULT_FRAMES: Readonly<Record<string, number>> = { "turboclip-demo": 33, "turbowan2.1-t2v-1.3b-480p": 81 };

/** Requests that are done once per Idempotency-Key. */
type Once = "create" | "grant" | "refund";

const KEPT_AS = { create: "create_clip", grant: "grant_credit", refund: "refund_clip" } as const;

type Body = Requests["create"]["body"];

function priceOf(body: Body): number {
  return Math.ceil(((BASE_PRICES[body.model] ?? 0) * (body.frames ?? DEFAULT_FRAMES[body.model] ?? 0)) / 81);
}

/** How a body that no balance could pay for is refused; null if it is a good one. */
function faultOf(body: Body): string | null {
  if (body.prompt.trim() === "") return "prompt_empty";
  if (BASE_PRICES[body.model] === undefined) return "model_unknown";
  return body.frames !== undefined && body.frames % 4 !== 1 ? "frames_invalid" : null;
}

export function judgeCreate(
  operation: Operation<Once>,
  outcome: Exclude<Outcome, { kind: "broken" }>,
  written: Written,
  context: AnswersContext,
  what: () => string,
): void {
  const { kind, request, startedAt, startedAtMs, skewMs } = operation;
  const accountId = accountIdOf(request, context);
  const body = requestText(operation);
  const fault = "body" in request ? faultOf(request.body) : null;
  const { idempotencyKey } = request;
  const kept =
    idempotencyKey === null ? [] : keptForms(accountId, KEPT_AS[kind], idempotencyKey, startedAt, context.history);
  const other = kept.some((row) => context.bodies.get(row.answer) !== body);
  if (outcome.kind === "refused") {
    const { code } = outcome;
    if (code === "idempotency_mismatch") must(other, "I1", what);
    else if (code === "idempotency_in_flight") must(kept.length > 0, "I1", what);
    else if (fault !== null) must(code === fault, "A", () => `${what()} instead of ${fault}`);
    else if (code === "not_refundable") judgeNotRefundable(operation, context, what);
    else {
      must("body" in request, "A", what);
      const order = { accountId, keyId: context.keyId(request.key) ?? "", priceMicros: priceOf(request.body) };
      judgeRefusal(operation, code, order, context, what);
    }
    return;
  }
  must(fault === null, "A", () => `${what()} instead of ${fault}`);
  const text = typeof outcome.value === "string" ? outcome.value : (outcome.value as { text: string }).text;
  if (written.commits > 0) {
    must(written.clip === null || text.includes(written.clip.id), "J1", what);
    if ("body" in request) must(written.clip?.price_micros === priceOf(request.body), "M4", what);
    return;
  }
  const bornMs = startedAtMs + skewMs - context.times.idempotencyMs;
  const replays = (row: AnswerRow) =>
    row.answer === text && row.created_at_ms > bornMs && context.bodies.get(row.answer) === body;
  must(kept.some(replays), "I1", () => `${what()} without having done it, now or before`);
}

function accountIdOf(request: Requests[Once], { history, accountOf }: AnswersContext): string {
  if ("accountId" in request) return request.accountId;
  if ("clipId" in request) return history.now("clips", request.clipId)?.account_id ?? "";
  return accountOf(request.key) ?? "";
}

/** M4: refused only where a refund would have been more than what was charged and not given back yet. */
function judgeNotRefundable(
  { request, startedAt }: Operation<Once>,
  context: AnswersContext,
  what: () => string,
): void {
  must("clipId" in request, "A", what);
  const forms = context.history.seenSince("clips", request.clipId, startedAt);
  const price = forms.at(-1)?.price_micros ?? 0;
  const left = price - context.refunded(request.clipId);
  const tooMuch = request.amountMicros === null ? left === 0 : request.amountMicros > left;
  must(tooMuch || forms.some((row) => row?.state !== "succeeded"), "M4", () => `${what()}, but ${left} were left`);
}

/** What makes two requests with one Idempotency-Key the same request. */
export function requestText({ request }: Operation<Once>): string {
  if ("body" in request) return JSON.stringify(request.body);
  return JSON.stringify([request.amountMicros, request.reason, "clipId" in request ? request.clipId : null]);
}

interface Order {
  readonly accountId: string;
  readonly keyId: string;
  readonly priceMicros: number;
}

const DAY_MS = 86_400_000;

/** M2 and M6, the other way round: what is refused for want of money or room could not have been let in. */
function judgeRefusal(
  operation: Operation,
  code: string,
  order: Order,
  context: AnswersContext,
  what: () => string,
): void {
  const { startedAt, startedAtMs, skewMs } = operation;
  const { accountId, keyId, priceMicros } = order;
  const { history, nowMs } = context;
  const most = (values: readonly number[]) => Math.max(0, ...values);
  if (code === "insufficient_balance") {
    const rows = history.seenSince("balances", accountId, startedAt);
    must(
      rows.some((row) => row !== null && row.posted_micros - row.pending_micros < priceMicros),
      "M2",
      what,
    );
  } else if (code === "too_many_in_flight") {
    const inFlight = most(history.seenSince("in_flight", accountId, startedAt).map((row) => row?.clips ?? 0));
    const allowed = history.seenSince("accounts", accountId, startedAt).map((row) => row?.max_in_flight ?? 0);
    must(
      allowed.some((count) => inFlight + 1 > count),
      "M6",
      what,
    );
  } else {
    must(code === "cap_exceeded", "A", what);
    const days = [startedAtMs, nowMs].map((atMs) => Math.floor((atMs + skewMs) / DAY_MS));
    const over = (spenderId: string, caps: readonly (number | null | undefined)[]) => {
      const rows = days.flatMap((day) => history.seenSince("daily_spend", spendName(spenderId, day), startedAt));
      const spent = most(rows.map((row) => row?.spent_micros ?? 0));
      return caps.some((cap) => typeof cap === "number" && spent + priceMicros > cap);
    };
    const ofAccount = history.seenSince("accounts", accountId, startedAt).map((row) => row?.daily_cap_micros);
    const ofKey = history.seenSince("api_keys", keyId, startedAt).map((row) => row?.daily_cap_micros);
    must(over(accountId, ofAccount) || over(keyId, ofKey), "M6", what);
  }
}
