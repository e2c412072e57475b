// I1, I2 and the money a create needs: what a create or a grant may be answered.
import type { Operation, Outcome, Requests } from "../world/operation.ts";
import { type AnswersContext, keptForms, type Written } from "./answers.ts";
import type { AnswerRow } from "./rows.ts";
import { must } from "./violation.ts";

/** Micro-dollars for 81 frames, from the price list and not from the code. */
const BASE_PRICES: Readonly<Record<string, number>> = { "turboclip-demo": 1_000, "turbowan2.1-t2v-1.3b-480p": 20_000 };
const DEFAULT_FRAMES: Readonly<Record<string, number>> = { "turboclip-demo": 33, "turbowan2.1-t2v-1.3b-480p": 81 };

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
  operation: Operation<"create" | "grant">,
  outcome: Exclude<Outcome, { kind: "broken" }>,
  written: Written,
  context: AnswersContext,
  what: () => string,
): void {
  const { kind, request, startedAt, startedAtMs, skewMs } = operation;
  const accountId = "accountId" in request ? request.accountId : (context.accountOf(request.key) ?? "");
  const body = requestText(operation);
  const fault = "body" in request ? faultOf(request.body) : null;
  const { idempotencyKey } = request;
  const kept =
    idempotencyKey === null
      ? []
      : keptForms(accountId, kind === "create" ? "create_clip" : "grant_credit", idempotencyKey, startedAt, context.history);
  const other = kept.some((row) => context.bodies.get(row.answer) !== body);
  if (outcome.kind === "refused") {
    const { code } = outcome;
    if (code === "idempotency_mismatch") return must(other, "I1", what);
    if (code === "idempotency_in_flight") return must(kept.length > 0, "I1", what);
    if (fault !== null) return must(code === fault, "A", () => `${what()} instead of ${fault}`);
    must(code === "insufficient_balance" && "body" in request, "A", what);
    return must(couldNotPay(accountId, priceOf(request.body), startedAt, context), "M2", what);
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

/** What makes two requests with one Idempotency-Key the same request. */
export function requestText({ request }: Operation<"create" | "grant">): string {
  return JSON.stringify("body" in request ? request.body : [request.amountMicros, request.reason]);
}

function couldNotPay(accountId: string, price: number, startedAt: number, { history }: AnswersContext): boolean {
  const forms = history.seenSince("balances", accountId, startedAt);
  return forms.some((row) => row !== null && row.posted_micros - row.pending_micros < price);
}
