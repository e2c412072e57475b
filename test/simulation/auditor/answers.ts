// The answers that an operation may have been given: each must be explained by some state that was true between
// its beginning and its end, or by what it committed itself. Where a fault left open what happened, a 500 is
// allowed, and both outcomes stay possible until somebody sees which one it was.
import type { Clip } from "../../../shared/contract/clips.ts";
import type { Operation, Outcome, Requests } from "../world/operation.ts";
import type { AnswersContext, Written } from "./context.ts";
import { judgeCreate } from "./creates.ts";
import { judgeLeaseAnswer, judgePoll } from "./lease-answers.ts";
import type { BalanceRow, ClipRow, KeyRow } from "./rows.ts";
import { must } from "./violation.ts";
import { isAboutWebhooks, judgeWebhookAnswer } from "./webhook-answers.ts";

export function judgeAnswer(operation: Operation, outcome: Outcome, written: Written, context: AnswersContext): void {
  const what = () => `#${operation.id} ${operation.kind} -> ${JSON.stringify(outcome)}`;
  if (outcome.kind === "broken") {
    must(operation.dead || operation.faults > 0, "A", () => `${what()} though nothing had failed`);
    return;
  }
  if (outcome.kind === "refused") {
    must(written.commits === 0, "J3", () => `${what()}, but it had changed something`);
    if (judgeAdmission(operation, outcome.code, context)) return;
  } else if ("key" in operation.request) {
    const usable = keyForms(operation, context).some((row) => row?.revoked_at_ms === null);
    must(usable, "I5", () => `${what()} for a key that was revoked before`);
  }
  judgeKind(operation, outcome, written, context, what);
}

function judgeKind(
  operation: Operation,
  outcome: Exclude<Outcome, { kind: "broken" }>,
  written: Written,
  context: AnswersContext,
  what: () => string,
): void {
  const { kind } = operation;
  if (kind === "create" || kind === "grant" || kind === "refund") {
    judgeCreate(operation as Operation<"create" | "grant" | "refund">, outcome, written, context, what);
  } else if (kind === "get") {
    judgeGet(operation as Operation<"get">, outcome as Outcome<"get">, context, what);
  } else if (kind === "cancel") {
    judgeCancel(operation as Operation<"cancel">, outcome as Outcome<"cancel">, context, what);
  } else if (kind === "balance") {
    judgeBalance(operation as Operation<"balance">, outcome as Outcome<"balance">, context, what);
  } else if (kind === "download") {
    judgeDownload(operation as Operation<"download">, outcome as Outcome<"download">, context, what);
  } else if (kind === "poll") {
    judgePoll(operation as Operation<"poll">, outcome as Outcome<"poll">, context, what);
  } else if (isAboutWebhooks(operation)) {
    judgeWebhookAnswer(operation, outcome, context, what);
  } else if (kind === "top_up" && outcome.kind === "refused") {
    // Its page could not be made; after a day it never will be.
    must(outcome.code === "payment_unavailable" ? operation.faults > 0 : outcome.code === "expired", "A", what);
  } else if ("lease" in operation.request) {
    judgeLeaseAnswer(operation, outcome, written, context, what);
  } else if (kind === "limit_key" && outcome.kind === "refused") {
    const { keyId } = operation.request as Requests["limit_key"];
    const forms = context.history.seenSince("api_keys", keyId, operation.startedAt);
    const revoked = forms.some((row) => row === null || row.revoked_at_ms !== null);
    must(outcome.code === "key_not_active" && revoked, "A", what);
  } else {
    must(outcome.kind === "answer", "A", what);
  }
}

function keyForms({ request, startedAt }: Operation, context: AnswersContext): (KeyRow | null)[] {
  const { key } = request as { readonly key: string };
  return context.history.seenSince("api_keys", context.keyId(key) ?? "", startedAt);
}

/** I5: whether it was refused, and rightly, for its key. */
function judgeAdmission(operation: Operation, code: string, context: AnswersContext): boolean {
  if (!("key" in operation.request) || code !== "key_revoked") return false;
  const revoked = keyForms(operation, context).some((row) => row !== null && row.revoked_at_ms !== null);
  must(revoked, "I5", () => `#${operation.id} was refused for a key that was not revoked`);
  return true;
}

function judgeGet(
  { request, startedAt, startedAtMs, skewMs }: Operation<"get">,
  outcome: Outcome<"get">,
  context: AnswersContext,
  what: () => string,
): void {
  const forms = ownForms(request, startedAt, context);
  if (outcome.kind !== "answer") {
    must(outcome.kind === "refused" && outcome.code === "not_found" && forms.includes(null), "I3", what);
    return;
  }
  const window = { fromMs: startedAtMs + skewMs, toMs: context.nowMs + skewMs };
  const explained = forms.some((row) => row !== null && shows(outcome.value, row, window));
  must(explained, "I3", () => `${what()}, but it was ${forms.map((row) => row?.state).join(", ")}`);
}

/** I4: what the asking account may see of the clip; a foreign one is as good as absent. */
function ownForms(
  request: { key: string; clipId: string },
  startedAt: number,
  context: AnswersContext,
): (ClipRow | null)[] {
  const owner = context.accountOf(request.key);
  const forms = context.history.seenSince("clips", request.clipId, startedAt);
  return forms.map((row) => (row?.account_id === owner ? row : null));
}

function shows(clip: Clip, row: ClipRow, window: { fromMs: number; toMs: number }): boolean {
  const waits = row.state === "queued" || row.state === "leased";
  const state = waits ? (row.started_at_ms === null ? "queued" : "running") : row.state;
  const expiresAtMs = row.outputs === null ? 0 : (row.output_expires_at_ms ?? 0);
  const output = clip.output === null ? expiresAtMs <= window.toMs : expiresAtMs > window.fromMs;
  return (
    output &&
    clip.state === state &&
    clip.attempt === row.attempt &&
    clip.price_micros === row.price_micros &&
    clip.charged_micros === (row.state === "succeeded" ? row.price_micros : 0) &&
    clip.prompt === row.prompt &&
    (clip.error?.code ?? null) === row.error_code
  );
}

/** J6: whoever loses against an end that came first is told of that end. */
function judgeCancel(
  { request, startedAt }: Operation<"cancel">,
  outcome: Outcome<"cancel">,
  context: AnswersContext,
  what: () => string,
): void {
  const forms = ownForms(request, startedAt, context);
  const states = forms.map((row) => row?.state ?? "absent");
  const said = () => `${what()}, but it was ${states.join(", ")}`;
  if (outcome.kind === "answer") {
    must(outcome.value.state === "cancelled" && states.includes("cancelled"), "J6", said);
  } else if (outcome.kind === "refused" && outcome.code === "not_cancellable") {
    must(
      states.some((state) => ["succeeded", "failed", "expired"].includes(state)),
      "J6",
      said,
    );
  } else {
    must(outcome.kind === "refused" && outcome.code === "not_found" && states.includes("absent"), "J6", said);
  }
}

function judgeBalance(
  { request, startedAt }: Operation<"balance">,
  outcome: Outcome<"balance">,
  context: AnswersContext,
  what: () => string,
): void {
  must(outcome.kind === "answer", "A", what);
  const { posted_micros, pending_micros, available_micros } = outcome.value;
  const is = (row: BalanceRow | null) => row?.posted_micros === posted_micros && row.pending_micros === pending_micros;
  const forms = context.history.seenSince("balances", context.accountOf(request.key) ?? "", startedAt);
  must(forms.some(is) && available_micros === posted_micros - pending_micros, "M5", what);
}

/** I4 and R1: a signed URL opens its own object until its time is over, and nothing else ever. */
function judgeDownload(
  { request, startedAtMs, skewMs }: Operation<"download">,
  outcome: Outcome<"download">,
  context: AnswersContext,
  what: () => string,
): void {
  if (!context.urlsGiven.has(request.url)) {
    must(outcome.kind === "refused" && outcome.code === "unauthenticated", "I4", what);
    return;
  }
  const { searchParams, pathname } = new URL(request.url);
  const overMs = Number(searchParams.get("expires")) * 1_000;
  const [clipId, kind] = pathname.split("/").slice(-2);
  const row = context.history.now("clips", clipId ?? "");
  const outputs = JSON.parse(row?.outputs ?? "{}") as Record<string, { key: string }>;
  const object = context.stored(outputs[kind ?? ""]?.key ?? "");
  if (outcome.kind === "answer") {
    must(overMs > startedAtMs + skewMs, "I4", () => `${what()} after its URL had expired`);
    must(object !== null && outcome.value.etag === object.etag && outcome.value.length === object.bytes, "R1", what);
  } else {
    const over = overMs <= context.nowMs + skewMs || (row?.output_expires_at_ms ?? 0) <= context.nowMs + skewMs;
    must(outcome.kind === "refused" && outcome.code === "expired" && over, "R1", what);
  }
}
