// Which rare path a commit or an answer was.
import type { Counters, Sometimes } from "../counters.ts";
import type { Operation, Outcome, Requests } from "../world/operation.ts";
import type { Written } from "./answers.ts";
import type { Commit } from "./history.ts";
import type { ClipRow } from "./rows.ts";

/** Of a clip's transition. */
export function countCommit(operation: Operation, commit: Commit, nowMs: number, counters: Counters): void {
  for (const { before, after } of commit.clips) {
    if (before === null || after === null) continue;
    const isLate = (before.lease_until_ms ?? Number.POSITIVE_INFINITY) < nowMs;
    if (isLate && (operation.kind === "heartbeat" || operation.kind === "complete")) counters.add("late_work_counted");
    if (before.state === after.state) continue;
    for (const what of transitionsOf(operation, before, after)) counters.add(what);
  }
  for (const { before, after } of commit.idempotency_keys)
    if (before !== null && after === null) counters.add("answer_expired");
}

function transitionsOf(operation: Operation, before: ClipRow, after: ClipRow): Sometimes[] {
  const found: Sometimes[] = [];
  if (after.expires_at_ms !== before.expires_at_ms) found.push("deadline_moved");
  switch (operation.kind) {
    case "alarm":
      if (after.state === "expired") found.push("clip_expired");
      else if (before.state === "leased") found.push("claim_not_taken_up");
      else found.push(stalled(before) ? "stall_noticed" : "lease_expired");
      if (after.state === "failed") found.push("clip_poisoned");
      break;
    case "fail": {
      const { failure } = operation.request as Requests["fail"];
      if (!failure.retryable) found.push("attempt_failed_for_good");
      break;
    }
    case "release":
      found.push(after.state === "failed" ? "handed_back_too_often" : "handed_back");
      break;
    case "cancel":
      found.push(before.state === "queued" ? "cancel_of_queued" : "cancel_of_running");
      break;
    default:
      break;
  }
  return found;
}

/** Its heartbeats came after its progress did. */
function stalled(row: ClipRow): boolean {
  return row.lease_until_ms !== null && row.progress_at_ms !== null && row.lease_until_ms - row.progress_at_ms > 30_000;
}

/** Of an operation as a whole. */
export function countAnswer(operation: Operation, outcome: Outcome, written: Written, counters: Counters): void {
  const what = pathOf(operation, outcome, written);
  if (what !== null) counters.add(what);
  if (operation.dead && written.commits > 0) counters.add("edge_died_after_commit");
}

function pathOf(operation: Operation, outcome: Outcome, written: Written): Sometimes | null {
  const refused = outcome.kind === "refused" ? outcome.code : null;
  if (refused === "key_revoked") return "key_refused";
  switch (operation.kind) {
    case "create":
      return createPath(outcome, written);
    case "refund":
      if (refused === "not_refundable") return "refund_refused";
      return written.commits > 0 ? "refunded" : null;
    case "grant":
      return outcome.kind === "answer" && written.commits === 0 ? "grant_replayed" : null;
    case "get":
      return refused === "not_found" ? "foreign_clip_hidden" : null;
    case "cancel":
      return refused === "not_cancellable" ? "cancel_lost_to_end" : null;
    case "download":
      if (refused === "unauthenticated") return "link_tampered";
      return refused === "expired" ? "output_expired" : null;
    case "poll":
      return outcome.kind === "answer" && outcome.value !== null && written.commits === 0 ? "claim_repeated" : null;
    case "alarm":
      return written.commits === 0 ? "sweep_found_nothing" : null;
    case "heartbeat": {
      if (refused === "lease_lost") return "zombie_heartbeat_refused";
      const told = outcome.kind === "answer" && (outcome.value as { cancel: boolean }).cancel;
      return told ? "cancel_told_to_runner" : null;
    }
    case "uploads":
      return refused === "lease_lost" ? "zombie_upload_refused" : null;
    case "complete":
      if (refused === "upload_missing" || refused === "upload_rejected") return refused;
      if (refused === "lease_lost") return "zombie_complete_refused";
      return outcome.kind === "answer" && written.commits === 0 ? "complete_repeated" : null;
    default:
      return null;
  }
}

function createPath(outcome: Outcome, written: Written): Sometimes | null {
  if (outcome.kind === "broken") return written.commits > 0 ? "create_committed_unheard" : null;
  if (outcome.kind === "answer") {
    if (written.commits > 0) return null;
    return written.aborted ? "create_raced" : "create_replayed";
  }
  switch (outcome.code) {
    case "insufficient_balance":
      return "create_refused_for_balance";
    case "cap_exceeded":
      return "create_refused_for_cap";
    case "too_many_in_flight":
      return "create_refused_for_room";
    case "idempotency_mismatch":
      return "create_refused_for_other_body";
    default:
      return null;
  }
}
