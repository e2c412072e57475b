// Triggers as their owner sets them up. A trigger orders with the key that made it, so only a key that has no less than this
// one may manage it (decision 0070): it could take the other's place.
import { commitAll, type Statement } from "../../../db/queries/transitions.ts";
import {
  deleteTrigger,
  findTrigger,
  findTriggers,
  insertTrigger,
  type TriggerChange,
  type TriggerRow,
  updateTrigger,
} from "../../../db/queries/triggers/triggers.ts";
import { dropSecrets, expireSecrets, insertSecret } from "../../../db/queries/webhooks/secrets.ts";
import {
  type CreateTrigger,
  type IssuedTrigger,
  type SenderSignature,
  TRIGGER_LIMITS,
  type Trigger,
  type UpdateTrigger,
} from "../../../shared/contract/triggers.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { AccountId, TriggerId } from "../../../shared/ids.ts";
import { type Micros, micros } from "../../../shared/pricing.ts";
import { timestamp } from "../clips/view.ts";
import { newIdAt } from "../identifiers.ts";
import { findWithin } from "../keys/reach.ts";
import type { Bearer } from "../keys/verify.ts";
import type { Ports } from "../ports.ts";
import { checkClipUrl } from "../webhooks/clip-url.ts";
import { sealSecret } from "../webhooks/secrets.ts";
import { newAddress, rotateAddress } from "./address.ts";
import { checkRecipe } from "./order.ts";

function asMicros(value: number | null): Micros | null {
  return value === null ? null : micros(value);
}

/** Throws what an order is refused by whatever is posted, or invalid_request for a template or one trigger too many. */
export async function createTrigger(ports: Ports, { key }: Bearer, request: CreateTrigger): Promise<IssuedTrigger> {
  const createdAtMs = ports.clock.now();
  const row: TriggerRow = {
    id: newIdAt(ports, "trigger", createdAtMs),
    accountId: key.accountId,
    keyId: key.id,
    name: request.name,
    prompt: request.prompt,
    metadata: request.metadata,
    conditions: request.when,
    clip: request.clip,
    dailyClips: request.daily_clips,
    dailyCapMicros: asMicros(request.daily_cap_micros),
    signature: request.signature.scheme,
    disabledAtMs: null,
    createdAtMs,
    lastDeliveryAtMs: null,
    clips: 0,
    refusals: 0,
  };
  await checkAll(ports, row);
  const { url, sha256 } = await newAddress(ports, row.id);
  const secrets = await exchangeSecret(ports, row, request.signature);
  if (!(await insertTrigger(ports.db, row, sha256, secrets, TRIGGER_LIMITS.perAccount))) {
    const detail = `An account has at most ${TRIGGER_LIMITS.perAccount} triggers; delete one first.`;
    throw new ApiError("invalid_request", detail);
  }
  return { ...view(row), url };
}

export async function listTriggers(ports: Pick<Ports, "db">, accountId: AccountId): Promise<{ data: Trigger[] }> {
  return { data: (await findTriggers(ports.db, accountId)).map(view) };
}

export async function getTrigger(ports: Pick<Ports, "db">, accountId: AccountId, id: TriggerId): Promise<Trigger> {
  return view(await requireTrigger(ports, accountId, id));
}

/** Throws not_found, exceeds_own_key, or as createTrigger. */
export async function changeTrigger(
  ports: Ports,
  bearer: Bearer,
  id: TriggerId,
  request: UpdateTrigger,
): Promise<Trigger> {
  const row = await findManageable(ports, bearer, id);
  const change: TriggerChange = {
    ...(request.name !== undefined && { name: request.name }),
    ...(request.prompt !== undefined && { prompt: request.prompt }),
    ...(request.metadata !== undefined && { metadata: request.metadata }),
    ...(request.when !== undefined && { conditions: request.when }),
    ...(request.clip !== undefined && { clip: request.clip }),
    ...(request.daily_clips !== undefined && { dailyClips: request.daily_clips }),
    ...(request.daily_cap_micros !== undefined && { dailyCapMicros: asMicros(request.daily_cap_micros) }),
    ...(request.signature !== undefined && { signature: request.signature.scheme }),
    ...(request.enabled !== undefined && { disabledAtMs: request.enabled ? null : ports.clock.now() }),
  };
  await checkAll(ports, { ...row, ...change });
  const secrets = request.signature === undefined ? [] : await exchangeSecret(ports, row, request.signature);
  const update = Object.keys(change).length === 0 ? [] : [updateTrigger(ports.db, row.accountId, id, change)];
  await commitAll(ports.db, [...update, ...secrets]);
  return await getTrigger(ports, row.accountId, id);
}

/** Throws not_found or exceeds_own_key. */
export async function rotateTrigger(
  ports: Ports,
  bearer: Bearer,
  id: TriggerId,
  overlapMs: number,
): Promise<IssuedTrigger> {
  const row = await findManageable(ports, bearer, id);
  const url = await rotateAddress(ports, id, overlapMs);
  return { ...view(row), url };
}

/** Throws not_found or exceeds_own_key. */
export async function removeTrigger(ports: Pick<Ports, "db">, bearer: Bearer, id: TriggerId): Promise<void> {
  await findManageable(ports, bearer, id);
  await deleteTrigger(ports.db, id);
}

/** One answer for absent and foreign triggers alike. */
export async function requireTrigger(
  ports: Pick<Ports, "db">,
  accountId: AccountId,
  id: TriggerId,
): Promise<TriggerRow> {
  const row = await findTrigger(ports.db, accountId, id);
  if (row === undefined) throw new ApiError("not_found", "There is no such trigger.");
  return row;
}

async function findManageable(ports: Pick<Ports, "db">, { key }: Bearer, id: TriggerId): Promise<TriggerRow> {
  const row = await requireTrigger(ports, key.accountId, id);
  await findWithin(ports, key, row.keyId);
  return row;
}

async function checkAll(ports: Ports, row: TriggerRow): Promise<void> {
  checkRecipe(row);
  try {
    await checkClipUrl(ports, row.accountId, row.clip.webhook_url);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    throw new ApiError(error.code, error.message, `/clip${error.pointer ?? ""}`);
  }
}

/** The statements after which the sender signs by the new secret; by those before too for a while, if the scheme stays. */
async function exchangeSecret(ports: Ports, row: TriggerRow, wanted: SenderSignature): Promise<Statement[]> {
  if (wanted.scheme === "none") return [dropSecrets(ports.db, row.id)];
  const now = ports.clock.now();
  const before =
    wanted.scheme === row.signature
      ? expireSecrets(ports.db, row.id, now, now + wanted.overlap_s * 1_000)
      : [dropSecrets(ports.db, row.id)];
  return [...before, insertSecret(ports.db, await sealSecret(ports, row.id, wanted.secret))];
}

function view(row: TriggerRow): Trigger {
  return {
    id: row.id,
    object: "trigger",
    name: row.name,
    key_id: row.keyId,
    prompt: row.prompt,
    metadata: row.metadata,
    when: row.conditions,
    clip: row.clip,
    daily_clips: row.dailyClips,
    daily_cap_micros: row.dailyCapMicros,
    signature: { scheme: row.signature },
    enabled: row.disabledAtMs === null,
    clips: row.clips,
    refusals: row.refusals,
    last_delivery_at: row.lastDeliveryAtMs === null ? null : timestamp(row.lastDeliveryAtMs),
    created_at: timestamp(row.createdAtMs),
  };
}
