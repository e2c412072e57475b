// Asks the deployment's moderators about a prompt before it is ordered, and about a clip before it is handed out and paid.
import { recordAct } from "../../../db/queries/audit.ts";
import type { ClipRow } from "../../../db/queries/clips.ts";
import { commitAll } from "../../../db/queries/transitions.ts";
import type { OutputRecord } from "../../../db/schema.ts";
import type { OutputKind } from "../../../shared/contract/runner.ts";
import { ApiError } from "../../../shared/errors.ts";
import { newAct } from "../audit.ts";
import { signDownload } from "../files/link.ts";
import type { Caller } from "../keys/verify.ts";
import type { Moderator, Ports, PromptReview, Verdict } from "../ports.ts";
import { withoutWordsOf } from "./reason.ts";

export type Refusal = Extract<Verdict, { allowed: false }>;

type Source = Pick<Ports, "moderation" | "log">;

/**
 * The first refusal, its reason without words of the prompt, or null. Throws moderation_unavailable where a moderator
 * without a verdict must be waited for.
 */
async function firstRefusal(
  ports: Source,
  prompt: string,
  ask: (moderator: Moderator) => Promise<Verdict>,
): Promise<Refusal | null> {
  for (const moderator of ports.moderation.moderators) {
    let verdict: Verdict;
    try {
      verdict = await ask(moderator);
    } catch (error) {
      ports.log("warn", "a moderator gave no verdict", { error: error instanceof Error ? error.message : "unknown" });
      if (ports.moderation.withoutVerdict === "allow") continue;
      throw new ApiError("moderation_unavailable", "Moderation gives no verdict at present; nothing was charged.");
    }
    if (!verdict.allowed) return { ...verdict, reason: withoutWordsOf(prompt, verdict.reason) };
  }
  return null;
}

/** Throws moderated, after the audit log has it, or moderation_unavailable. The audit log never holds the prompt. */
export async function requireAllowedPrompt(
  ports: Source & Pick<Ports, "db" | "clock" | "random" | "requestId">,
  { accountId, keyId }: Caller,
  review: Omit<PromptReview, "accountId">,
): Promise<void> {
  const refusal = await firstRefusal(
    ports,
    review.prompt,
    async (moderator) => await moderator.reviewPrompt({ accountId, ...review }),
  );
  if (refusal === null) return;
  const { by, reason } = refusal;
  const act = {
    accountId,
    actor: "operator",
    action: "prompt.refused",
    subject: keyId,
    detail: { by, reason },
  } as const;
  await commitAll(ports.db, [recordAct(ports.db, newAct(ports, act))]);
  throw new ApiError("moderated", "This service does not make clips of such a prompt. Nothing was charged.", "/prompt");
}

type Outputs = Readonly<Partial<Record<OutputKind, OutputRecord>>>;

/** Of what a runner has uploaded: null to hand it out. The moderator gets URLs that are good for a download's time. */
export async function refusalOfClip(
  ports: Source & Pick<Ports, "clock" | "digest" | "signingKeys" | "publicOrigin" | "times">,
  row: ClipRow,
  outputs: Outputs,
): Promise<Refusal | null> {
  if (ports.moderation.moderators.length === 0) return null;
  const expiresAtMs = ports.clock.now() + ports.times.downloadUrlMs;
  const kinds = Object.keys(outputs) as OutputKind[];
  const signed = kinds.map(async (kind) => {
    const target = { clipId: row.id, attempt: row.attempt, kind, expiresAtMs };
    return [kind, await signDownload(ports, target)] as const;
  });
  const files = Object.fromEntries(await Promise.all(signed));
  const { id: clipId, accountId, model, prompt } = row;
  return await firstRefusal(
    ports,
    prompt,
    async (moderator) => await moderator.reviewClip({ clipId, accountId, model, prompt, files }),
  );
}
