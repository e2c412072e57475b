// Finding the attempt that a lease token names. A token fences (clip, attempt, runner): one that is no longer
// the clip's own changes nothing, however late its bearer wakes up.
import { type ClipRow, findClipByLease } from "../../../db/queries/clips.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { RunnerId } from "../../../shared/ids.ts";
import { type ClipState, isTerminal, type TerminalState } from "../../../shared/states.ts";
import type { Ports } from "../ports.ts";

/** The parts of a request that name an attempt. */
export interface AttemptRef {
  readonly runnerId: RunnerId;
  readonly token: string;
  /** Told which attempt it names, as soon as that is known. */
  readonly onFound?: (row: ClipRow) => void;
}

/** A clip whose attempt is under way or has just ended under this token. */
export interface AttemptRow extends ClipRow {
  readonly leaseToken: string;
  readonly leaseUntilMs: number;
}

export function leaseLost(): ApiError {
  return new ApiError("lease_lost", "The lease is no longer held; the attempt's work is not wanted any more.");
}

/** Throws `lease_lost` unless the token is the clip's. */
export async function findAttempt(ports: Pick<Ports, "db">, ref: AttemptRef): Promise<AttemptRow> {
  const row = await findClipByLease(ports.db, ref.token, ref.runnerId);
  if (row === undefined || row.leaseToken === null || row.leaseUntilMs === null) throw leaseLost();
  ref.onFound?.(row);
  return { ...row, leaseToken: row.leaseToken, leaseUntilMs: row.leaseUntilMs };
}

/**
 * For an end that may be the repetition of one whose answer was lost: true when the clip ended just so under
 * this token, false when the attempt is under way. Any other end is `lease_lost`.
 */
export function endedAs(row: AttemptRow, wanted: TerminalState): boolean {
  const state: ClipState = row.state;
  if (state === wanted) return true;
  if (isTerminal(state)) throw leaseLost();
  return false;
}
