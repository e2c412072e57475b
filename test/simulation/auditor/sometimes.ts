// Which rare path a commit or an answer was.
import type { Counters, Sometimes } from "../counters.ts";
import type { Operation, Outcome, Requests } from "../world/operation.ts";
import type { Written } from "./context.ts";
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
  const { kind } = operation;
  if (after.expires_at_ms !== before.expires_at_ms) found.push("deadline_moved");
  if (kind === "release") found.push(after.state === "failed" ? "handed_back_too_often" : "handed_back");
  if (kind === "cancel") found.push(before.state === "queued" ? "cancel_of_queued" : "cancel_of_running");
  if (kind === "fail" && !(operation.request as Requests["fail"]).failure.retryable)
    found.push("attempt_failed_for_good");
  if (kind !== "alarm") return found;
  if (after.state === "expired") found.push("clip_expired");
  else if (before.state === "leased") found.push("claim_not_taken_up");
  else found.push(stalled(before) ? "stall_noticed" : "lease_expired");
  if (after.state === "failed") found.push("clip_poisoned");
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

/** What a refusal with this code tells of, where it tells of a rare path. */
const REFUSALS: Readonly<Partial<Record<Operation["kind"], Readonly<Record<string, Sometimes>>>>> = {
  create: {
    insufficient_balance: "create_refused_for_balance",
    cap_exceeded: "create_refused_for_cap",
    too_many_in_flight: "create_refused_for_room",
    idempotency_mismatch: "create_refused_for_other_body",
  },
  refund: { not_refundable: "refund_refused" },
  get: { not_found: "foreign_clip_hidden" },
  cancel: { not_cancellable: "cancel_lost_to_end" },
  download: { unauthenticated: "link_tampered", expired: "output_expired" },
  heartbeat: { lease_lost: "zombie_heartbeat_refused" },
  uploads: { lease_lost: "zombie_upload_refused" },
  complete: {
    upload_missing: "upload_missing",
    upload_rejected: "upload_rejected",
    lease_lost: "zombie_complete_refused",
  },
};

function pathOf(operation: Operation, outcome: Outcome, written: Written): Sometimes | null {
  const { kind } = operation;
  if (outcome.kind === "refused") {
    return outcome.code === "key_revoked" ? "key_refused" : (REFUSALS[kind]?.[outcome.code] ?? null);
  }
  if (outcome.kind === "broken") return kind === "create" && written.commits > 0 ? "create_committed_unheard" : null;
  if (kind === "heartbeat") return (outcome.value as { cancel: boolean }).cancel ? "cancel_told_to_runner" : null;
  if (kind === "stripe_event") return outcome.value === "repeated" ? "payment_told_again" : null;
  if (written.commits > 0) return kind === "refund" ? "refunded" : null;
  if (kind === "create") return written.aborted ? "create_raced" : "create_replayed";
  if (kind === "grant") return "grant_replayed";
  if (kind === "complete") return "complete_repeated";
  if (kind === "alarm") return "sweep_found_nothing";
  return kind === "poll" && outcome.value !== null ? "claim_repeated" : null;
}
