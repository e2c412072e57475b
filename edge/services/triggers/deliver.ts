// A delivery to a trigger: an order by the key that made the trigger, through the same core as any other order. What became
// of it commits with the order; a refusal charges nothing and is noted for the owner, who may read more than the sender.
import { violatedConstraint } from "../../../db/database.ts";
import { countTriggered, findTriggerDay } from "../../../db/queries/triggers/days.ts";
import type { TriggerRow } from "../../../db/queries/triggers/triggers.ts";
import type { Clip } from "../../../shared/contract/clips.ts";
import type { Triggered } from "../../../shared/contract/triggers.ts";
import { utcDay } from "../../../shared/days.ts";
import { ApiError, type ErrorCode } from "../../../shared/errors.ts";
import { orderClips } from "../clips/create.ts";
import { fingerprintOf, type Once, replay } from "../idempotency.ts";
import { requireActive } from "../keys/verify.ts";
import type { Ports } from "../ports.ts";
import { nothingHere, type OpenTrigger } from "./address.ts";
import { readBody } from "./body.ts";
import { deliveryKey } from "./delivery-key.ts";
import { newDelivery, noteDelivery, recordOrdered } from "./log.ts";
import { compileRecipe, isWanted, makeOrder } from "./order.ts";
import { type Posted, verifySender } from "./sender.ts";

export interface Delivered extends Triggered {
  readonly outcome: "ordered" | "repeated" | "skipped";
}

/** Throws not_found to whom the trigger was not made for, else what an order is refused by, without the account's figures. */
export async function deliver(ports: Ports, opened: OpenTrigger, posted: Posted): Promise<Delivered> {
  try {
    return await accept(ports, opened, posted);
  } catch (error) {
    const refusal = error instanceof ApiError ? error : await refusalByTrigger(ports, opened.trigger, error);
    if (refusal === null) throw error;
    const { code, message } = refusal;
    await noteDelivery(
      ports,
      newDelivery(ports, opened.trigger, posted, { outcome: "refused", code, detail: message }),
    );
    throw asToldToSender(refusal);
  }
}

async function accept(ports: Ports, { trigger, key }: OpenTrigger, posted: Posted): Promise<Delivered> {
  requireAble({ trigger, key }, ports.clock.now());
  await verifySender(ports, trigger, posted);
  const once = await onceOf(ports, trigger, posted);
  const before = once === null ? null : await replay(ports, once);
  if (before !== null) return await repeated(ports, trigger, posted, before);
  const recipe = compileRecipe(trigger);
  const body = readBody(posted.header("content-type"), posted.body);
  if (!isWanted(recipe, body)) {
    await noteDelivery(ports, newDelivery(ports, trigger, posted, { outcome: "skipped" }));
    return { clip_id: null, outcome: "skipped" };
  }
  const caller = { accountId: trigger.accountId, keyId: trigger.keyId, tokenId: null };
  const { answer, replayed } = await orderClips(ports, caller, makeOrder(recipe, body), once, {
    triggerId: trigger.id,
    along: (clips) =>
      clips.flatMap(({ id }) => [
        countTriggered(ports.db, id),
        ...recordOrdered(ports, newDelivery(ports, trigger, posted, { outcome: "ordered", clipId: id })),
      ]),
  });
  if (replayed) return await repeated(ports, trigger, posted, answer);
  return { clip_id: clipIdOf(answer), outcome: "ordered" };
}

function clipIdOf(answer: string): Clip["id"] {
  return (JSON.parse(answer) as Clip).id;
}

async function repeated(ports: Ports, trigger: TriggerRow, posted: Posted, answer: string): Promise<Delivered> {
  const clipId = clipIdOf(answer);
  await noteDelivery(ports, newDelivery(ports, trigger, posted, { outcome: "repeated", clipId }));
  return { clip_id: clipId, outcome: "repeated" };
}

/** Throws not_found, key_revoked, key_expired or scope_missing, for the owner to read. */
function requireAble({ trigger, key }: OpenTrigger, nowMs: number): void {
  if (trigger.disabledAtMs !== null) throw new ApiError("not_found", "The trigger is disabled.");
  requireActive(key, nowMs);
  if (!key.scopes.includes("clips:write")) {
    throw new ApiError("scope_missing", `The key ${key.shownPrefix} lacks the scope clips:write by now.`);
  }
}

/** The key cannot be one that a request to /v1/clips names: that has no blanks. */
async function onceOf(ports: Ports, { id, accountId }: TriggerRow, posted: Posted): Promise<Once | null> {
  const key = deliveryKey(posted);
  if (key === null) return null;
  return {
    scope: { accountId, operation: "create_clip", key: `${id} ${key}` },
    fingerprint: await fingerprintOf(ports, posted.body),
  };
}

/** The refusal that a constraint of the trigger's own stands for, or null. */
async function refusalByTrigger(ports: Ports, trigger: TriggerRow, error: unknown): Promise<ApiError | null> {
  const constraint = violatedConstraint(error);
  const day = utcDay(ports.clock.now());
  switch (constraint ?? "none") {
    case "trigger_daily_clips": {
      const { clips } = await findTriggerDay(ports.db, trigger.id, day);
      return new ApiError(
        "cap_exceeded",
        `The trigger has ordered ${clips} of ${trigger.dailyClips} clips of the day (UTC).`,
      );
    }
    case "trigger_daily_cap": {
      const { spentMicros } = await findTriggerDay(ports.db, trigger.id, day);
      const detail = `Of the ${trigger.dailyCapMicros} micro-dollars that the trigger may spend in a day (UTC), ${spentMicros} are spent.`;
      return new ApiError("cap_exceeded", detail);
    }
    // Disabled or deleted after it was read.
    case "trigger_deliveries.trigger_id":
      return new ApiError("not_found", "The trigger was disabled meanwhile.");
    default:
      return null;
  }
}

/** Who may post needs not know that it was the key or the signature, nor how the account stands. */
const HIDDEN: ReadonlySet<ErrorCode> = new Set([
  "not_found",
  "unauthenticated",
  "key_revoked",
  "key_expired",
  "scope_missing",
]);
const WITHOUT_FIGURES: ReadonlySet<ErrorCode> = new Set(["insufficient_balance", "cap_exceeded", "too_many_in_flight"]);

function asToldToSender(refusal: ApiError): ApiError {
  if (HIDDEN.has(refusal.code)) return nothingHere();
  if (!WITHOUT_FIGURES.has(refusal.code)) return refusal;
  return new ApiError(refusal.code, "No clip can be ordered here now; whoever gave you this URL can see why.");
}
