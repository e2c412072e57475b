// What a runner may be answered: to its poll, and about the attempt that its lease names.
import type { Operation, Outcome, Requests } from "../world/operation.ts";
import type { AnswersContext, Written } from "./context.ts";
import { type ClipRow, HELD } from "./rows.ts";
import { must } from "./violation.ts";

/**
 * I1 for claims, and J8: a poll does not go away empty while a clip waits for it all the time. Its twin may: a nonce gets
 * one claim, and when the twin's was handed back in the meantime there is none to find.
 */
export function judgePoll(
  operation: Operation<"poll">,
  outcome: Outcome<"poll">,
  context: AnswersContext,
  what: () => string,
): void {
  must(outcome.kind === "answer", "A", what);
  const { poll, runner } = operation.request;
  const claim = outcome.value;
  if (claim === null) {
    const waited = (id: string) => {
      const forms = context.history.seenSince("clips", id, operation.startedAt);
      const claimable = (row: ClipRow | null) =>
        row?.state === "queued" &&
        poll.models.includes(row.model) &&
        row.expires_at_ms > context.nowMs + operation.skewMs;
      return forms.every(claimable);
    };
    const left = [...context.queued].find(waited);
    const id = context.runnerOf(runner) ?? "";
    const drained = context.history.seenSince("runners", id, operation.startedAt).some((row) => row?.drained_since_ms);
    const excused = operation.faults > 0 || drained || context.history.wasClaimed(poll.nonce, operation.startedAt);
    must(left === undefined || excused, "J8", () => `${what()} while ${left} was queued`);
    return;
  }
  const forms = context.history.seenSince("clips", claim.clip_id, operation.startedAt);
  const isClaimed = (row: ClipRow | null) =>
    row?.lease_token === claim.lease_token &&
    row.poll_nonce === poll.nonce &&
    row.runner_id === context.runnerOf(runner) &&
    row.attempt === claim.attempt;
  must(forms.some(isClaimed), "J2", what);
}

type LeaseKind = "heartbeat" | "uploads" | "complete" | "fail" | "release";

/** J3 and J6: the lease's bearer is served while it holds, told of a cancel, and refused in every other case. */
export function judgeLeaseAnswer(
  operation: Operation,
  outcome: Exclude<Outcome, { kind: "broken" }>,
  written: Written,
  context: AnswersContext,
  what: () => string,
): void {
  const kind = operation.kind as LeaseKind;
  const { runner, lease } = operation.request as Requests[LeaseKind];
  const clipId = context.clipOfLease(lease) ?? "";
  const all = context.history.seenSince("clips", clipId, operation.startedAt);
  const forms = all.map((row) =>
    row?.lease_token === lease && row.runner_id === context.runnerOf(runner) ? row : null,
  );
  const states = forms.map((row) => row?.state ?? "another's");
  const said = () => `${what()}, but it was ${states.join(", ")}`;
  const held = forms.some((row) => row !== null && HELD.includes(row.state));
  if (outcome.kind === "answer") {
    judgeServed(kind, outcome, { states, held, written }, said);
    return;
  }
  if (outcome.code === "upload_missing" || outcome.code === "upload_rejected") {
    must(kind === "complete" && held, "J3", said);
    must(differs(operation as Operation<"complete">, clipId, forms, context, outcome.code), "J9", said);
    return;
  }
  must(outcome.code === "lease_lost", "A", what);
  const stalled = kind === "heartbeat" && forms.some((row) => isStalled(row, operation, context));
  const wanted = (state: string) =>
    HELD.includes(state as "leased") ||
    (kind === "heartbeat" && state === "cancelled") ||
    (kind === "complete" && state === "succeeded") ||
    ((kind === "fail" || kind === "release") && state === "failed");
  must(stalled || !states.every(wanted), "J3", () => `${said()} all the time`);
}

function judgeServed(
  kind: LeaseKind,
  outcome: Extract<Outcome, { kind: "answer" }>,
  { states, held, written }: { states: string[]; held: boolean; written: Written },
  said: () => string,
): void {
  if (kind === "heartbeat") {
    const { cancel } = outcome.value as { cancel: boolean };
    must(cancel ? states.includes("cancelled") : held, cancel ? "J6" : "J3", said);
  } else if (kind === "uploads") {
    must(held, "J3", said);
  } else {
    const { state } = outcome.value as { state: string };
    const itself = written.clip?.state === state;
    must(itself || (state !== "queued" && states.includes(state)), "J3", said);
  }
}

function isStalled(row: ClipRow | null, { startedAtMs, skewMs }: Operation, { nowMs, times }: AnswersContext): boolean {
  if (row === null || row.progress_at_ms === null) return false;
  return row.progress_at_ms + times.stallMs <= Math.max(startedAtMs, nowMs) + skewMs;
}

/** Whether what is in the bucket is, or may have been, other than declared. */
function differs(
  { request, startedAtMs }: Operation<"complete">,
  clipId: string,
  forms: readonly (ClipRow | null)[],
  { stored }: AnswersContext,
  code: string,
): boolean {
  const attempts = new Set(forms.map((row) => row?.attempt));
  const names = { mp4: "clip.mp4", poster: "poster.jpg" };
  return (["mp4", "poster"] as const).some((kind) =>
    [...attempts].some((attempt) => {
      const declared = request.result.outputs[kind];
      const object = stored(`clips/${clipId}/${attempt}/${names[kind]}`);
      if (code === "upload_missing") return object === null || object.storedAtMs >= startedAtMs;
      return object !== null && (object.bytes !== declared.bytes || object.md5 !== declared.md5);
    }),
  );
}
