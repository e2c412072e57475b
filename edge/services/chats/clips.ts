// The clips of a chat's server or workspace: only what was ordered there can be seen, made again or cancelled there.
import { findOrderedBy, findOrderer } from "../../../db/queries/chats/replies.ts";
import { type Clip, type CreateClip, type CreateClipInput, createClipSchema } from "../../../shared/contract/clips.ts";
import { ApiError } from "../../../shared/errors.ts";
import { type ClipId, idSchema } from "../../../shared/ids.ts";
import { findModel, MODELS, type ModelSpec, parseSize, resolutionOf, type Size } from "../../../shared/models.ts";
import { type Micros, priceOf } from "../../../shared/pricing.ts";
import { cancelClip } from "../clips/cancel.ts";
import { getClip } from "../clips/get.ts";
import { requireScopeOf } from "../keys/scope.ts";
import type { Ports } from "../ports.ts";
import { ChatRefusal, type LinkedPlace, WORDS } from "./place.ts";

const CLIPS_SHOWN = 5;
const clipId = idSchema("clip");

export const CLIP_ACTIONS = ["again", "hd", "cancel"] as const;
export type ClipAction = (typeof CLIP_ACTIONS)[number];

/** The account may have other clips, and a program of its own. Throws ChatRefusal. */
export async function clipOfPlace(ports: Ports, { link }: LinkedPlace, id: unknown): Promise<Clip> {
  const parsed = clipId.safeParse(id);
  if (!parsed.success) throw new ChatRefusal("A clip's id looks like `clip_01j9z3k4m5n6p7q8r9s0t1v2w3`.");
  if ((await findOrderer(ports.db, link.id, parsed.data)) === undefined) {
    throw new ChatRefusal(`There is no such clip in this ${WORDS[link.platform].place}.`);
  }
  return await getClip(ports, link.accountId, parsed.data);
}

/** The user's last ones in this place. Throws scope_missing. */
export async function lastClipsOf(ports: Ports, { link, bearer }: LinkedPlace, userId: string): Promise<Clip[]> {
  requireScopeOf(bearer, "clips:read");
  const ids = await findOrderedBy(ports.db, link.id, userId, CLIPS_SHOWN);
  const found = await Promise.all(ids.map(async (id) => await getClip(ports, link.accountId, id).catch(ifDeleted)));
  return found.filter((clip) => clip !== null);
}

function ifDeleted(error: unknown): null {
  if (error instanceof ApiError && error.code === "not_found") return null;
  throw error;
}

/** The one that is asked for, or the user's last ones. Throws ChatRefusal, scope_missing. */
export async function clipsAskedFor(
  ports: Ports,
  linked: LinkedPlace,
  userId: string,
  wanted: unknown,
): Promise<Clip[]> {
  requireScopeOf(linked.bearer, "clips:read");
  return wanted === undefined ? await lastClipsOf(ports, linked, userId) : [await clipOfPlace(ports, linked, wanted)];
}

/** By whoever ordered it, or manages the place. Throws ChatRefusal, scope_missing, not_cancellable. */
export async function cancelInPlace(
  ports: Ports,
  linked: LinkedPlace,
  id: ClipId,
  { userId, manages }: { readonly userId: string; readonly manages: () => Promise<boolean> },
): Promise<void> {
  requireScopeOf(linked.bearer, "clips:write");
  const { link } = linked;
  if ((await findOrderer(ports.db, link.id, id)) !== userId && !(await manages())) {
    throw new ChatRefusal(`Only who ordered the clip, or manages the ${WORDS[link.platform].place}, can cancel it.`);
  }
  await cancelClip(ports, link.accountId, id);
}

type Wanted = { readonly [Member in keyof CreateClipInput]?: unknown };

/** A person's own words, so checked as an order over HTTP is. Throws ChatRefusal. */
export function orderOf(wanted: Wanted): CreateClip {
  const request = createClipSchema.safeParse({ ...wanted, model: wanted.model ?? MODELS[0]?.id });
  if (request.success) return request.data;
  const [issue] = request.error.issues;
  throw new ChatRefusal(`\`${issue?.path.join(".") ?? "/clip"}\` is not as it should be: ${issue?.message ?? ""}.`);
}

export interface HighDefinition {
  readonly model: ModelSpec;
  readonly size: Size;
  readonly priceMicros: Micros;
}

/** The same clip at 720p: by its own model, or else that model's 720p sister, in the size of the nearest shape. */
export function highDefinitionOf(clip: Clip): HighDefinition | null {
  if (resolutionOf(clip.size as Size) === "720p") return null;
  const { width, height } = parseSize(clip.size as Size);
  const shape = (size: Size) => Math.log((parseSize(size).width * height) / (parseSize(size).height * width));
  const candidates = [findModel(clip.model), MODELS.find(({ id }) => id === clip.model.replace(/480p$/, "720p"))];
  for (const model of candidates) {
    const sizes = model?.sizes.filter((size) => resolutionOf(size) === "720p") ?? [];
    const [size] = sizes.toSorted((a, b) => Math.abs(shape(a)) - Math.abs(shape(b)));
    if (model === undefined || size === undefined || clip.frames > model.maxFrames) continue;
    return { model, size, priceMicros: priceOf(model, size, clip.frames) };
  }
  return null;
}

/** With a seed of its own, or the same one at 720p. Throws ChatRefusal. */
export function orderAgain(clip: Clip, action: Exclude<ClipAction, "cancel">): CreateClip {
  const { prompt, frames, steps, sampler } = clip;
  if (action === "again") return orderOf({ prompt, model: clip.model, size: clip.size, frames, steps, sampler });
  const hd = highDefinitionOf(clip);
  if (hd === null) throw new ChatRefusal("There is no model that makes this clip at 720p.");
  return orderOf({ prompt, model: hd.model.id, size: hd.size, frames, steps, sampler, seed: clip.seed });
}
