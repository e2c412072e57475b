// Claims a clip for a runner. The claim is committed before the reply: a reply that is lost leaves a lease
// that the same nonce finds again, and that runs out soon if nobody acknowledges it.
import { eq } from "drizzle-orm";
import { type ClipRow, findClipByLease, findClipByNonce } from "../../../db/queries/clips.ts";
import { advanceFlow, anyQueued, leaseNext } from "../../../db/queries/queue.ts";
import { commit, recordEvent } from "../../../db/queries/transitions.ts";
import { clips } from "../../../db/schema.ts";
import { type Claim, OUTPUT_KINDS, type PollRequest } from "../../../shared/contract/runner.ts";
import type { RunnerId } from "../../../shared/ids.ts";
import { parseSize } from "../../../shared/models.ts";
import { base62 } from "../encoding.ts";
import { newTransition } from "../identifiers.ts";
import type { Ports } from "../ports.ts";

const TOKEN_BYTES = 24;

function toClaim(row: ClipRow | undefined): Claim | null {
  if (row === undefined || row.leaseToken === null || row.leaseUntilMs === null) return null;
  const { width, height } = parseSize(row.size);
  const { model, prompt, frames, steps, sampler, seed } = row;
  return {
    clip_id: row.id,
    attempt: row.attempt,
    lease_token: row.leaseToken,
    lease_until_ms: row.leaseUntilMs,
    request: { model, prompt, width, height, frames, steps, sampler, seed },
    outputs: [...OUTPUT_KINDS],
  };
}

/** Null when nothing is queued for these models. */
export async function claimClip(
  ports: Pick<Ports, "db" | "clock" | "random" | "bell" | "times">,
  runnerId: RunnerId,
  poll: Pick<PollRequest, "nonce" | "models" | "loaded_model">,
): Promise<Claim | null> {
  const { nonce, models, loaded_model: loadedModel } = poll;
  const earlier = toClaim(await findClipByNonce(ports.db, runnerId, nonce));
  if (earlier !== null) return earlier;
  if (!(await anyQueued(ports.db, models, ports.clock.now()))) return null;

  const token = base62(ports.random.bytes(TOKEN_BYTES));
  const transition = newTransition(ports, eq(clips.leaseToken, token));
  const { atMs } = transition;
  const untilMs = atMs + ports.times.acknowledgeMs;
  // First the timer, then the lease: no lease is ever without a timer, whatever dies in between.
  await ports.bell.wakeBy(untilMs);
  const claimed = await commit(
    ports.db,
    leaseNext(
      ports.db,
      { models, loadedModel, handicapMs: ports.times.loadedModelMs },
      { runnerId, nonce, token, untilMs, atMs },
    ),
    recordEvent(ports.db, transition, "leased", runnerId),
    [advanceFlow(ports.db, transition)],
  );
  const row = claimed
    ? await findClipByLease(ports.db, token, runnerId)
    : await findClipByNonce(ports.db, runnerId, nonce);
  return toClaim(row);
}
