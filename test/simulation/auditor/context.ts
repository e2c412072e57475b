// What the judges of answers are told beside the operation and its outcome.
import type { Times } from "../../../edge/services/ports.ts";
import { answerName, type History } from "./history.ts";
import type { ClipRow } from "./rows.ts";

export interface StoredFile {
  readonly bytes: number;
  readonly md5: string;
  readonly etag: string;
  readonly madeUnder: string;
  readonly storedAtMs: number;
}

export interface AnswersContext {
  readonly history: History;
  readonly times: Times;
  readonly nowMs: number;
  readonly keyId: (key: string) => string | null;
  readonly accountOf: (key: string) => string | null;
  readonly runnerOf: (token: string) => string | null;
  readonly clipOfLease: (lease: string) => string | null;
  /** The body with which an Idempotency-Key was first answered, by the text of that answer. */
  readonly bodies: ReadonlyMap<string, string>;
  readonly stored: (key: string) => StoredFile | null;
  /** What was refunded of a clip so far. */
  readonly refunded: (clipId: string) => number;
  readonly urlsGiven: ReadonlySet<string>;
  readonly queued: Iterable<string>;
}

/** What one operation wrote to the tables that the auditor follows. */
export interface Written {
  commits: number;
  /** A batch of its was aborted by a constraint. */
  aborted: boolean;
  clip: ClipRow | null;
}

/** The forms of the kept answer that a repeated request may have met. */
export function keptForms(accountId: string, operation: string, key: string, startedAt: number, history: History) {
  return history
    .seenSince("idempotency_keys", answerName(accountId, operation, key), startedAt)
    .filter((row) => row !== null);
}
