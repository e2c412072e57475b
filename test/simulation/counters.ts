// Sometimes: the rare paths that a run must have come by, or what it proves says little. Each is counted where it
// happens; one that stays 0 over all seeds fails the run.

export const SOMETIMES = {
  create_replayed: "a repeated create got the first answer",
  create_raced: "a create met its twin's answer in the middle of its own",
  create_refused_for_balance: "a create was refused for lack of balance",
  create_refused_for_cap: "a create was refused for a daily cap",
  create_refused_for_room: "a create was refused for too many clips in flight",
  create_refused_for_other_body: "an Idempotency-Key came with another body",
  create_committed_unheard: "a create was committed, and nobody was told",
  answer_expired: "a kept answer was replaced after its time",
  grant_replayed: "a repeated grant got the first answer",
  claim_repeated: "a poll got the claim that it had been given before",
  claim_not_taken_up: "a claim was taken back without any heartbeat",
  lease_expired: "a running attempt was taken back",
  stall_noticed: "an attempt with heartbeats but without progress was taken back",
  clip_poisoned: "a clip failed because its attempts were used up",
  clip_expired: "a queued clip expired",
  deadline_moved: "a started clip that was taken back got a new deadline",
  attempt_failed_for_good: "a runner said that no other attempt would help",
  handed_back: "a runner handed an attempt back",
  handed_back_too_often: "a clip was given up after being handed back too often",
  zombie_heartbeat_refused: "a heartbeat came for an attempt that was over",
  zombie_upload_refused: "an upload was asked for under a lease that was lost",
  zombie_complete_refused: "a completion came for an attempt that was over",
  stranger_came: "a runner used a lease that it was not given, or no longer had",
  late_work_counted: "a heartbeat or completion came after its lease's end, but before it was taken back",
  complete_repeated: "a repeated completion got the same answer",
  upload_missing: "a completion came without its upload",
  upload_rejected: "a completion declared something else than was uploaded",
  upload_repeated: "a repeated PUT found its object there already",
  object_of_lost_attempt: "an attempt that was over put an object",
  cancel_of_queued: "a queued clip was cancelled",
  cancel_of_running: "a running clip was cancelled",
  cancel_told_to_runner: "a heartbeat brought a cancellation",
  cancel_lost_to_end: "a cancel came after another end",
  key_refused: "a revoked key was refused",
  foreign_clip_hidden: "a clip of another account was asked for",
  link_tampered: "a changed download URL was refused",
  output_expired: "a download URL was used after its time",
  output_removed: "an output was removed after its time",
  stray_removed: "what a lost attempt had put was removed",
  refunded: "a charge was refunded",
  refund_refused: "a refund would have been more than was charged",
  runner_was_drained: "a poll came from a drained runner",
  edge_died_after_commit: "an isolate died right after its commit",
  sweep_found_nothing: "an alarm found nothing to do",
  webhook_retried: "a message was delivered after an attempt that had failed",
  webhook_exhausted: "a delivery was exhausted at the end of its schedule",
  webhook_sent_twice: "a message came to a receiver that had had it already",
  webhook_raced: "two Outboxes of one lane sent the same attempt",
  webhook_waited_as_asked: "Retry-After made a delivery wait longer than the schedule",
  webhook_replayed: "a message was told again because its owner asked for it",
  webhook_signed_twice: "a message was signed by a secret and the one that it replaces",
  webhook_kept_from_private: "a name that had turned private was not contacted",
  endpoint_gone: "an endpoint was disabled because it answered 410",
  endpoint_failing: "an endpoint was disabled because nothing came through for five days",
  endpoint_went_with_waiting: "an endpoint was disabled or deleted while deliveries waited for it",
  message_forgotten: "a message was dropped after its time",
} as const;

export type Sometimes = keyof typeof SOMETIMES;

export class Counters {
  readonly counts = new Map<Sometimes, number>();

  add(what: Sometimes): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }
}
