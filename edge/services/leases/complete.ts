// The attempt is done: what was declared is compared with what the bucket holds, and then one batch makes the
// clip succeed and captures its price. SHA-256 is the runner's word; size and MD5 are the bucket's.
import { eq } from "drizzle-orm";
import { recordAct } from "../../../db/queries/audit.ts";
import { succeed } from "../../../db/queries/clips.ts";
import { capture } from "../../../db/queries/ledger.ts";
import { scheduleRemoval } from "../../../db/queries/retention.ts";
import { commit, recordEvent, tookPlace } from "../../../db/queries/transitions.ts";
import { clips, type OutputRecord } from "../../../db/schema.ts";
import type { AttemptEndReply, CompleteRequest, OutputKind } from "../../../shared/contract/runner.ts";
import { ApiError, type ErrorCode } from "../../../shared/errors.ts";
import { type AuditSource, newAct } from "../audit.ts";
import { outputKey } from "../files/output.ts";
import { strayDueMs } from "../files/remove.ts";
import { newTransition } from "../identifiers.ts";
import { type Refusal, refusalOfClip } from "../moderation/review.ts";
import type { Ports } from "../ports.ts";
import { wakeOutboxes } from "../webhooks/wake.ts";
import { type AttemptRef, type AttemptRow, endedAs, findAttempt, leaseLost } from "./attempt.ts";
import { type EndSource, endAttempt } from "./end-attempt.ts";

type Declared = CompleteRequest["outputs"]["mp4"];

/** Throws upload_missing or upload_rejected. */
async function confirmUpload(
  ports: Pick<Ports, "store">,
  row: AttemptRow,
  kind: OutputKind,
  declared: Declared,
): Promise<OutputRecord> {
  const key = outputKey(row.id, row.attempt, kind);
  const stored = await ports.store.head(key);
  if (stored === null) throw new ApiError("upload_missing", `The ${kind} has not been uploaded.`, `/outputs/${kind}`);
  if (stored.bytes !== declared.bytes) {
    const detail = `The ${kind} was declared with ${declared.bytes} bytes, but ${stored.bytes} were uploaded.`;
    throw new ApiError("upload_rejected", detail, `/outputs/${kind}/bytes`);
  }
  if (stored.md5 !== declared.md5) {
    const detail = `The ${kind} was declared with MD5 ${declared.md5}, but what was uploaded has ${stored.md5}.`;
    throw new ApiError("upload_rejected", detail, `/outputs/${kind}/md5`);
  }
  return { key, ...declared, etag: stored.etag };
}

const wasRefused = ({ state, errorCode }: AttemptRow) =>
  state === "failed" && errorCode === ("moderated" satisfies ErrorCode);

/** The clip has failed, free; its files go as those of any failed attempt. */
async function refuse(
  ports: EndSource & AuditSource,
  ref: AttemptRef,
  row: AttemptRow,
  { by, reason }: Refusal,
): Promise<AttemptEndReply> {
  const { accountId, id } = row;
  const act = { accountId, actor: "operator", action: "clip.refused", subject: id, detail: { by, reason } } as const;
  const state = await endAttempt(ports, row, {
    event: "attempt_failed",
    detail: `moderated by ${by}: ${reason}`,
    error: { code: "moderated", message: "This service does not hand out such a clip. Nothing was charged." },
    retryable: false,
    unharmed: false,
    overdueAtMs: null,
    along: (transition) => [recordAct(ports.db, newAct(ports, act), tookPlace(transition))],
  });
  if (state === null && !wasRefused(await findAttempt(ports, ref))) throw leaseLost();
  return { state: "failed" };
}

type Source = EndSource &
  AuditSource &
  Pick<Ports, "store" | "digest" | "signingKeys" | "publicOrigin" | "moderation" | "log">;

/** Completing again after its end answers as the first time: its answer may have been lost. */
export async function completeAttempt(
  ports: Source,
  ref: AttemptRef,
  request: CompleteRequest,
): Promise<AttemptEndReply> {
  const row = await findAttempt(ports, ref);
  if (wasRefused(row)) return { state: "failed" };
  if (endedAs(row, "succeeded")) return { state: "succeeded" };
  const { mp4, poster, preview } = request.outputs;
  const outputs = {
    mp4: await confirmUpload(ports, row, "mp4", mp4),
    poster: await confirmUpload(ports, row, "poster", poster),
    ...(preview !== undefined && { preview: await confirmUpload(ports, row, "preview", preview) }),
  };
  const refusal = await refusalOfClip(ports, row, outputs);
  if (refusal !== null) return await refuse(ports, ref, row, refusal);
  const transition = newTransition(ports, eq(clips.leaseToken, row.leaseToken));
  const { atMs } = transition;
  const outputExpiresAtMs = atMs + ports.times.outputKeptMs;
  // Not before its upload URLs are dead, or one of them could bring the object back.
  const removedAtMs = Math.max(outputExpiresAtMs, strayDueMs(atMs, ports.times));
  const succeeded = await commit(
    ports.db,
    succeed(ports.db, row.leaseToken, {
      outputs,
      outputExpiresAtMs,
      timings: request.timings,
      engine: request.engine,
      modelVersion: request.model_version ?? null,
      finishedAtMs: atMs,
    }),
    recordEvent(ports.db, transition, "succeeded", null),
    [...capture(ports.db, transition), scheduleRemoval(ports.db, transition, removedAtMs)],
  );
  if (succeeded) {
    await ports.feed.nudge(row.id);
    await wakeOutboxes(ports, transition);
  }
  // Not ours: either a twin of this request was first, or the clip was cancelled or taken back meanwhile.
  if (!succeeded && !endedAs(await findAttempt(ports, ref), "succeeded")) throw leaseLost();
  return { state: "succeeded" };
}
