// Orders a clip: one batch writes the clip, the hold of its price and the kept answer, or nothing at all.
import { eq } from "drizzle-orm";
import type { ClipRow } from "../../../db/queries/clips.ts";
import { hold } from "../../../db/queries/ledger.ts";
import { insertQueued } from "../../../db/queries/queue.ts";
import { commit, recordEvent } from "../../../db/queries/transitions.ts";
import { clips } from "../../../db/schema.ts";
import type { CreateClip } from "../../../shared/contract/clips.ts";
import { fingerprintOf, keep, type Once, replay, replayAfterConflict } from "../idempotency.ts";
import { newId, newTransition } from "../identifiers.ts";
import type { Caller } from "../keys/verify.ts";
import type { Ports } from "../ports.ts";
import { checkClipUrl } from "../webhooks/clip-url.ts";
import { quoteClip } from "./quote.ts";
import { refusalOf } from "./refusal.ts";
import { NOWHERE, viewClip } from "./view.ts";

export interface CreatedClip {
  /** The body of the answer; with an idempotency key the same bytes each time. */
  readonly answer: string;
  readonly replayed: boolean;
}

const SEED_BYTES = 4;

function randomSeed(ports: Pick<Ports, "random">): number {
  return ports.random.bytes(SEED_BYTES).reduce((seed, byte) => seed * 256 + byte, 0);
}

function newRow(
  ports: Pick<Ports, "clock" | "random" | "times">,
  caller: Caller,
  request: CreateClip,
  webhookUrl: string | null,
): ClipRow {
  const { model, size, frames, priceMicros } = quoteClip(request);
  const createdAtMs = ports.clock.now();
  const waitMs = request.expires_after === undefined ? ports.times.queuedMs : request.expires_after * 1_000;
  return {
    id: newId(ports, "clip"),
    accountId: caller.accountId,
    keyId: caller.keyId,
    tokenId: caller.tokenId,
    state: "queued",
    model: model.id,
    prompt: request.prompt,
    size,
    frames,
    steps: request.steps,
    sampler: request.sampler,
    seed: request.seed ?? randomSeed(ports),
    priceMicros,
    priority: request.priority,
    turn: 0, // found by the statement that inserts it
    attempt: 0,
    handedBack: 0,
    leaseToken: null,
    leaseUntilMs: null,
    runnerId: null,
    pollNonce: null,
    progress: null,
    progressAtMs: null,
    errorCode: null,
    errorMessage: null,
    timings: null,
    engine: null,
    outputs: null,
    outputExpiresAtMs: null,
    outputRemovedAtMs: null,
    metadata: request.metadata ?? null,
    webhookUrl,
    createdAtMs,
    expiresAtMs: createdAtMs + waitMs,
    startedAtMs: null,
    finishedAtMs: null,
    deletedAtMs: null,
  };
}

/**
 * Throws prompt_empty, prompt_too_long, model_unknown, size_not_allowed, frames_invalid, insufficient_balance, cap_exceeded,
 * too_many_in_flight, token_spent, clip_deleted or idempotency_*.
 */
export async function createClip(
  ports: Ports,
  caller: Caller,
  request: CreateClip,
  idempotencyKey: string | null,
): Promise<CreatedClip> {
  const once: Once | null = idempotencyKey === null ? null : await newOnce(ports, caller, request, idempotencyKey);
  const before = once === null ? null : await replay(ports, once);
  if (before !== null) return { answer: before, replayed: true };
  const row = newRow(ports, caller, request, await checkClipUrl(ports, caller.accountId, request.webhook_url));
  const answer = JSON.stringify(await viewClip(ports, row, NOWHERE));
  const transition = newTransition(ports, eq(clips.id, row.id));
  try {
    await commit(ports.db, insertQueued(ports.db, row), recordEvent(ports.db, transition, "queued", null), [
      ...(once === null ? [] : keep(ports.db, ports, once, answer)),
      ...hold(ports.db, transition),
    ]);
  } catch (error) {
    const won = await replayAfterConflict(ports, once, error);
    if (won !== null) return { answer: won, replayed: true };
    throw (await refusalOf(ports, caller, row, error)) ?? error;
  }
  await ports.bell.ring(row.model, row.expiresAtMs);
  return { answer, replayed: false };
}

async function newOnce(ports: Ports, { accountId }: Caller, request: CreateClip, key: string): Promise<Once> {
  return {
    scope: { accountId, operation: "create_clip", key },
    fingerprint: await fingerprintOf(ports, request),
  };
}
