// Orders clips: one batch writes each clip, the hold of its price and the kept answer, or nothing at all.
import { eq } from "drizzle-orm";
import { findAccount } from "../../../db/queries/accounts.ts";
import type { ClipRow } from "../../../db/queries/clips.ts";
import { hold } from "../../../db/queries/ledger.ts";
import { insertQueued } from "../../../db/queries/queue.ts";
import { commitAll, recordEvent, type Statement } from "../../../db/queries/transitions.ts";
import { clips } from "../../../db/schema.ts";
import type { ClipBatch, CreateClip } from "../../../shared/contract/clips.ts";
import type { TriggerId } from "../../../shared/ids.ts";
import { micros } from "../../../shared/pricing.ts";
import { fingerprintOf, keep, type Once, replay, replayAfterConflict } from "../idempotency.ts";
import { newIdAt, newTransition } from "../identifiers.ts";
import type { Caller } from "../keys/verify.ts";
import { requireAllowedPrompt } from "../moderation/review.ts";
import type { Ports } from "../ports.ts";
import { checkClipUrl } from "../webhooks/clip-url.ts";
import { type Quote, quoteClip } from "./quote.ts";
import { type Order, refusalOf } from "./refusal.ts";
import { NOWHERE, viewClip } from "./view.ts";

export interface CreatedClip {
  /** The body of the answer, a Clip or with `n` a ClipBatch; with an idempotency key the same bytes each time. */
  readonly answer: string;
  readonly replayed: boolean;
}

const SEED_BYTES = 4;

function randomSeed(ports: Pick<Ports, "random">): number {
  return ports.random.bytes(SEED_BYTES).reduce((seed, byte) => seed * 256 + byte, 0);
}

/** Their ids sort as they stand, which is how the queue takes them. */
function newRows(
  ports: Pick<Ports, "clock" | "random" | "times">,
  caller: Caller,
  request: CreateClip,
  told: Pick<ClipRow, "webhookUrl" | "triggerId">,
): readonly ClipRow[] {
  const quote = quoteClip(request);
  const createdAtMs = ports.clock.now();
  const ids = Array.from({ length: request.n ?? 1 }, () => newIdAt(ports, "clip", createdAtMs)).toSorted();
  return ids.map((id, i) =>
    newRow(ports, caller, request, quote, {
      id,
      createdAtMs,
      seed: request.seed === undefined ? randomSeed(ports) : request.seed + i,
      ...told,
    }),
  );
}

function newRow(
  ports: Pick<Ports, "times">,
  caller: Caller,
  request: CreateClip,
  { model, size, frames, priceMicros }: Quote,
  own: Pick<ClipRow, "id" | "createdAtMs" | "seed" | "webhookUrl" | "triggerId">,
): ClipRow {
  const waitMs = request.expires_after === undefined ? ports.times.queuedMs : request.expires_after * 1_000;
  return {
    ...own,
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
    modelVersion: null,
    outputs: null,
    outputExpiresAtMs: null,
    outputRemovedAtMs: null,
    metadata: request.metadata ?? null,
    expiresAtMs: own.createdAtMs + waitMs,
    startedAtMs: null,
    finishedAtMs: null,
    deletedAtMs: null,
  };
}

/** Through which door an order came, other than the API's own. */
export interface OrderSource {
  readonly triggerId?: TriggerId;
  /** What is committed after the clips' rows, or not at all; by a constraint of its own it refuses the order. */
  along(rows: readonly ClipRow[]): readonly Statement[];
}

/**
 * Throws prompt_empty, prompt_too_long, model_unknown, size_not_allowed, frames_invalid, insufficient_balance, cap_exceeded,
 * too_many_in_flight, token_spent, clip_deleted, moderated, moderation_unavailable or idempotency_*.
 */
export async function createClip(
  ports: Ports,
  caller: Caller,
  request: CreateClip,
  idempotencyKey: string | null,
  source: OrderSource | null = null,
): Promise<CreatedClip> {
  const once: Once | null = idempotencyKey === null ? null : await newOnce(ports, caller, request, idempotencyKey);
  const before = once === null ? null : await replay(ports, once);
  if (before !== null) return { answer: before, replayed: true };
  return await orderClips(ports, caller, request, once, source);
}

/** For an order that was not answered before. Throws as createClip, or the error of a constraint of the source's own. */
export async function orderClips(
  ports: Ports,
  caller: Caller,
  request: CreateClip,
  once: Once | null,
  source: OrderSource | null,
): Promise<CreatedClip> {
  const account = await findAccount(ports.db, caller.accountId);
  const webhookUrl = await checkClipUrl(ports, caller.accountId, request.webhook_url);
  const rows = newRows(ports, caller, request, { webhookUrl, triggerId: source?.triggerId ?? null });
  await requireAllowedPrompt(ports, caller, request);
  const answer = await answerTo(ports, request, rows);
  try {
    await commitAll(ports.db, [
      ...(once === null ? [] : keep(ports.db, ports, once, answer)),
      ...rows.flatMap((row) => enqueue(ports, row)),
      ...(source?.along(rows) ?? []),
    ]);
  } catch (error) {
    const won = await replayAfterConflict(ports, once, error);
    if (won !== null) return { answer: won, replayed: true };
    throw (await refusalOf(ports, caller, orderOf(rows), error)) ?? error;
  }
  if (account?.logPrompts === true) logPrompt(ports, rows);
  for (const { model, expiresAtMs } of rows) await ports.bell.ring(model, expiresAtMs);
  return { answer, replayed: false };
}

/** For whoever looks into what became of it, where its account allows that. */
function logPrompt(ports: Pick<Ports, "log">, rows: readonly ClipRow[]): void {
  ports.log("info", "prompt", { clip: rows.map(({ id }) => id).join(","), prompt: rows[0]?.prompt });
}

async function answerTo(ports: Ports, request: CreateClip, rows: readonly ClipRow[]): Promise<string> {
  const data = await Promise.all(rows.map(async (row) => await viewClip(ports, row, NOWHERE)));
  return JSON.stringify(request.n === undefined ? data[0] : ({ object: "list", data } satisfies ClipBatch));
}

function enqueue(ports: Ports, row: ClipRow): Statement[] {
  const transition = newTransition(ports, eq(clips.id, row.id));
  return [
    insertQueued(ports.db, row),
    recordEvent(ports.db, transition, "queued", null),
    ...hold(ports.db, transition),
  ];
}

function orderOf(rows: readonly ClipRow[]): Order {
  const [first] = rows;
  if (first === undefined) throw new RangeError("an order has at least one clip");
  const { createdAtMs, priceMicros } = first;
  return { clips: rows.length, priceMicros: micros(rows.length * priceMicros), createdAtMs };
}

async function newOnce(ports: Ports, { accountId }: Caller, request: CreateClip, key: string): Promise<Once> {
  return {
    scope: { accountId, operation: "create_clip", key },
    fingerprint: await fingerprintOf(ports, request),
  };
}
