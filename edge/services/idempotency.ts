// "Do this once": a request with an Idempotency-Key is answered a second time with the bytes of the first
// answer. The answer is written in the batch that does the work, so there is no window in which the work is
// done and the answer unknown. Refusals are not kept: they changed nothing, and may be right the next time.
import type { Database } from "../../db/database.ts";
import { violatedConstraint } from "../../db/database.ts";
import { dropOldAnswer, findAnswer, type IdempotencyScope, keepAnswer } from "../../db/queries/idempotency.ts";
import { dropAnswers, findOldestAnswer } from "../../db/queries/retention.ts";
import type { Statement } from "../../db/queries/transitions.ts";
import { ApiError } from "../../shared/errors.ts";
import { hex } from "./encoding.ts";
import { HOUSEKEEPING_MS } from "./housekeeping.ts";
import type { Ports } from "./ports.ts";

export interface Once {
  readonly scope: IdempotencyScope;
  /** SHA-256 of the validated request: the same members in another order are the same request. */
  readonly fingerprint: string;
}

export async function fingerprintOf(ports: Pick<Ports, "digest">, request: unknown): Promise<string> {
  return hex(await ports.digest.sha256(JSON.stringify(request)));
}

type Source = Pick<Ports, "db" | "clock" | "times">;

/** The answer given before, or null. A key that was used for another request is refused. */
export async function replay(ports: Source, once: Once): Promise<string | null> {
  const kept = await findAnswer(ports.db, once.scope);
  if (kept === undefined || kept.createdAtMs <= ports.clock.now() - ports.times.idempotencyMs) return null;
  if (kept.fingerprint !== once.fingerprint) {
    throw new ApiError("idempotency_mismatch", "This Idempotency-Key was used for a request with another body.");
  }
  return kept.answer;
}

/** The statements that keep `answer`; they abort the batch if the key has an answer by then. */
export function keep(db: Database, ports: Source, once: Once, answer: string): [Statement, Statement] {
  const createdAtMs = ports.clock.now();
  return [
    dropOldAnswer(db, once.scope, createdAtMs - ports.times.idempotencyMs),
    keepAnswer(db, once.scope, { fingerprint: once.fingerprint, answer, createdAtMs }),
  ];
}

/** Commits work together with the answer to it; the bytes of the answer that stands for this key from then on. */
export async function commitOnce(
  ports: Source,
  once: Once,
  answer: string,
  work: readonly Statement[],
): Promise<string> {
  try {
    await ports.db.batch([...keep(ports.db, ports, once, answer), ...work]);
  } catch (error) {
    const won = await replayAfterConflict(ports, once, error);
    if (won === null) throw error;
    return won;
  }
  return answer;
}

/** After a batch was aborted: the answer of the request that came first with this key, or null if none did. */
export async function replayAfterConflict(ports: Source, once: Once | null, error: unknown): Promise<string | null> {
  if (once === null || !violatedConstraint(error)?.startsWith("idempotency_keys.")) return null;
  const answer = await replay(ports, once);
  if (answer === null) {
    throw new ApiError("idempotency_in_flight", "A request with this Idempotency-Key is being handled; try again.");
  }
  return answer;
}

const DROPPED_PER_SWEEP = 500;

/** Drops answers that are too old to be given again. Returns when to come back, or null when none is kept. */
export async function forgetAnswers(ports: Source): Promise<number | null> {
  const now = ports.clock.now();
  const dropped = await dropAnswers(ports.db, now - ports.times.idempotencyMs, DROPPED_PER_SWEEP);
  if (dropped === DROPPED_PER_SWEEP) return now;
  const oldest = await findOldestAnswer(ports.db);
  return oldest === null ? null : Math.max(oldest + ports.times.idempotencyMs, now + HOUSEKEEPING_MS);
}
