// A moderator of the operator's own, asked by HTTP: a POST signed by Standard Webhooks, answered by
// {"allowed": true} or {"allowed": false, "reason": "..."}. docs/moderation.md is its contract.
import { Webhook } from "standardwebhooks";
import * as z from "zod";
import { newIdAt } from "../identifiers.ts";
import type { Moderator, Ports, Verdict } from "../ports.ts";
import { checkTarget } from "../webhooks/guard.ts";

/** Whoever orders, or the runner, waits meanwhile. */
const ANSWER_WITHIN_MS = 10_000;
const ANSWER_BYTES = 4_096;

const answerSchema = z.discriminatedUnion("allowed", [
  z.object({ allowed: z.literal(true) }),
  z.object({ allowed: z.literal(false), reason: z.string().max(500).default("") }),
]);

type Source = Pick<Ports, "clock" | "random" | "outbound" | "resolver" | "trustedHosts" | "publicOrigin">;

export interface RemoteModerator {
  readonly url: string;
  /** whsec_ and base64. */
  readonly secret: string;
}

/** Its promises reject when there is no answer, or none that it could mean. */
export function moderatorByHttp(ports: Source, { url, secret }: RemoteModerator): Moderator {
  const ask = async (question: object): Promise<Verdict> => {
    const now = new Date(ports.clock.now());
    const id = newIdAt(ports, "event", now.getTime());
    const body = JSON.stringify(question);
    const headers = {
      "content-type": "application/json",
      "user-agent": "turboclip-moderation/1",
      "webhook-id": id,
      "webhook-timestamp": String(Math.floor(now.getTime() / 1_000)),
      "webhook-signature": new Webhook(secret).sign(id, now, body),
    };
    const target = await checkTarget(ports, url, "MODERATION_URL");
    const answer = await ports.outbound.post({
      url: target,
      headers,
      body,
      timeoutMs: ANSWER_WITHIN_MS,
      answerBytes: ANSWER_BYTES,
    });
    if (answer.status !== 200) throw new Error(`the moderator answered ${answer.status}`);
    const verdict = answerSchema.parse(JSON.parse(answer.body));
    return verdict.allowed ? verdict : { ...verdict, by: "http" };
  };
  return {
    reviewPrompt: async ({ accountId, model, prompt }) =>
      await ask({ type: "prompt", account_id: accountId, model, prompt }),
    reviewClip: async ({ accountId, model, prompt, clipId, files }) =>
      await ask({ type: "clip", account_id: accountId, model, prompt, clip_id: clipId, files }),
  };
}
