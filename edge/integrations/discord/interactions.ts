// What a signed interaction is answered. Within Discord's three seconds only what is short is done here: an order is
// committed with the reply that it is owed, and the Outbox does the rest.
import type { APIApplicationCommandOptionChoice, APIInteractionResponse } from "discord-api-types/v10";
import { findOrderedBy, findOrderer } from "../../../db/queries/chats/replies.ts";
import { type Clip, type CreateClipInput, createClipSchema } from "../../../shared/contract/clips.ts";
import { ApiError } from "../../../shared/errors.ts";
import { type ClipId, idSchema } from "../../../shared/ids.ts";
import { findModel, MODELS, resolutionOf } from "../../../shared/models.ts";
import { formatDollars, micros, priceOf } from "../../../shared/pricing.ts";
import { redeemCode } from "../../services/chats/links.ts";
import { type Interaction, orderInChat } from "../../services/chats/order.ts";
import { ChatRefusal, type LinkedPlace, openPlace, type Place } from "../../services/chats/place.ts";
import { cancelClip } from "../../services/clips/cancel.ts";
import { getClip } from "../../services/clips/get.ts";
import { requireScopeOf } from "../../services/keys/scope.ts";
import { getBalance } from "../../services/money/balance.ts";
import type { Ports } from "../../services/ports.ts";
import { type ClipAction, highDefinitionOf, statusLine } from "./message.ts";
import {
  AUTOCOMPLETE,
  CHOICES,
  COMMAND,
  COMPONENT,
  type CommandInteraction,
  type CompletedInteraction,
  type ComponentInteraction,
  DEFERRED_MESSAGE,
  DEFERRED_UPDATE,
  EPHEMERAL,
  type GuildInteraction,
  interactionSchema,
  MANAGE_GUILD,
  MESSAGE,
  PING,
  PONG,
} from "./wire.ts";

/** Of the 15 minutes that a token is good for, less what its way to us and back may take. */
const TOKEN_MS = 15 * 60_000 - 10_000;
const CLIPS_SHOWN = 5;
/** What Discord shows at most. */
const MAX_CHOICES = 25;
const clipId = idSchema("clip");

const HELP = [
  "**turboclip** makes short videos from text.",
  "`/clip prompt` orders one; `model`, `size` and `seed` are yours to choose. The reply says what it costs.",
  "`/clip-status` shows your last clips, with fresh links. The buttons below a clip make it again or cancel it.",
  "`/balance` shows what the linked account can spend, `/turboclip-link` links a server; both are for its managers.",
].join("\n");

/** `body` is signed by Discord. Throws invalid_request for what is no interaction that we asked for. */
export async function answerInteraction(ports: Ports, body: unknown): Promise<APIInteractionResponse> {
  const parsed = interactionSchema.safeParse(body);
  if (!parsed.success) {
    throw new ApiError("invalid_request", "This is no interaction of the commands that turboclip registers.");
  }
  const interaction = parsed.data;
  switch (interaction.type) {
    case PING:
      return { type: PONG };
    case AUTOCOMPLETE:
      return { type: CHOICES, data: { choices: choicesFor(interaction) } };
    case COMMAND:
      return await orRefusal(async () => await answerCommand(ports, interaction));
    case COMPONENT:
      return await orRefusal(async () => await answerButton(ports, interaction));
  }
}

function say(content: string): APIInteractionResponse {
  return { type: MESSAGE, data: { content, flags: EPHEMERAL, allowed_mentions: { parse: [] } } };
}

/** Refusals are for the eyes of whoever asked; whatever else is thrown is the deployment's fault and shown as such. */
async function orRefusal(answer: () => Promise<APIInteractionResponse>): Promise<APIInteractionResponse> {
  try {
    return await answer();
  } catch (error) {
    if (error instanceof ChatRefusal || error instanceof ApiError) return say(error.message);
    throw error;
  }
}

function placeOf({ guild_id: placeId }: GuildInteraction): Place {
  return { platform: "discord", placeId };
}

function managesServer({ member }: GuildInteraction): boolean {
  return (BigInt(member.permissions) & MANAGE_GUILD) !== 0n;
}

function requireManager(interaction: GuildInteraction): void {
  if (!managesServer(interaction)) throw new ChatRefusal("This takes the permission Manage Server.");
}

async function answerCommand(ports: Ports, interaction: CommandInteraction): Promise<APIInteractionResponse> {
  const { name, options } = interaction.data;
  const given = Object.fromEntries(options.map((option) => [option.name, option.value]));
  const place = placeOf(interaction);
  switch (name) {
    case "help":
      return say(HELP);
    case "turboclip-link": {
      requireManager(interaction);
      await redeemCode(ports, place, interaction.member.user.id, String(given.code ?? ""));
      return say("This server is linked. `/clip` orders from now on, and the account that gave the code pays.");
    }
    case "balance": {
      requireManager(interaction);
      const { bearer } = await openPlace(ports, place);
      requireScopeOf(bearer, "billing:read");
      const balance = await getBalance(ports, bearer.accountId);
      const dollars = (amount: number) => formatDollars(micros(amount));
      return say(
        `${dollars(balance.available_micros)} can be spent; ${dollars(balance.pending_micros)} are held for clips under way.`,
      );
    }
    case "clip-status":
      return say(await statusOf(ports, await openPlace(ports, place), interaction, given.clip));
    case "clip": {
      const linked = await openPlace(ports, place);
      const { prompt, model = MODELS[0]?.id, size, seed } = given;
      return await order(ports, linked, interaction, { prompt, model, size, seed });
    }
    default:
      throw new ChatRefusal("turboclip no longer has this command.");
  }
}

/** An order's own words: from a person, so checked as an order over HTTP is. */
async function order(
  ports: Ports,
  linked: LinkedPlace,
  interaction: GuildInteraction,
  wanted: { readonly [Member in keyof CreateClipInput]?: unknown },
): Promise<APIInteractionResponse> {
  const request = createClipSchema.safeParse(wanted);
  if (!request.success) {
    const [issue] = request.error.issues;
    throw new ChatRefusal(`\`${issue?.path.join(".") ?? "/clip"}\` is not as it should be: ${issue?.message ?? ""}.`);
  }
  const ordered: Interaction = {
    ...placeOf(interaction),
    id: interaction.id,
    channelId: interaction.channel_id,
    userId: interaction.member.user.id,
    roles: interaction.member.roles,
    token: interaction.token,
    deadlineMs: ports.clock.now() + TOKEN_MS,
    usesLeft: null,
    sizeLimit: interaction.attachment_size_limit,
    shown: "",
  };
  await orderInChat(ports, linked, ordered, request.data);
  return { type: DEFERRED_MESSAGE };
}

async function statusOf(
  ports: Ports,
  { link, bearer }: LinkedPlace,
  interaction: GuildInteraction,
  wanted: unknown,
): Promise<string> {
  requireScopeOf(bearer, "clips:read");
  const line = (clip: Clip) => `\`${clip.id}\` ${statusLine(clip, false)}`;
  if (wanted !== undefined) {
    const id = clipId.safeParse(wanted);
    if (!id.success) throw new ChatRefusal("A clip's id looks like `clip_01j9z3k4m5n6p7q8r9s0t1v2w3`.");
    return line(await clipOfPlace(ports, { link, bearer }, id.data));
  }
  const ids = await findOrderedBy(ports.db, link.id, interaction.member.user.id, CLIPS_SHOWN);
  const found = await Promise.all(ids.map(async (id) => await getClip(ports, link.accountId, id).catch(ifDeleted)));
  const clips = found.filter((clip) => clip !== null);
  return clips.length === 0 ? "You have ordered no clip here yet; `/clip` does." : clips.map(line).join("\n");
}

function ifDeleted(error: unknown): null {
  if (error instanceof ApiError && error.code === "not_found") return null;
  throw error;
}

/** Only what was ordered in this place: the account may have others, and a program of its own. Throws not_found. */
async function clipOfPlace(ports: Ports, { link }: LinkedPlace, id: ClipId): Promise<Clip> {
  if ((await findOrderer(ports.db, link.id, id)) === undefined) {
    throw new ChatRefusal("There is no such clip in this server.");
  }
  return await getClip(ports, link.accountId, id);
}

async function answerButton(ports: Ports, interaction: ComponentInteraction): Promise<APIInteractionResponse> {
  const [action, text] = interaction.data.custom_id.split(":") as [ClipAction, string | undefined];
  const id = clipId.safeParse(text);
  if (!id.success) throw new ChatRefusal("turboclip no longer has this button.");
  const linked = await openPlace(ports, placeOf(interaction));
  const clip = await clipOfPlace(ports, linked, id.data);
  const { prompt, model, size, frames, steps, sampler } = clip;
  switch (action) {
    case "again":
      return await order(ports, linked, interaction, { prompt, model, size, frames, steps, sampler });
    case "hd": {
      const hd = highDefinitionOf(clip);
      if (hd === null) throw new ChatRefusal("There is no model that makes this clip at 720p.");
      const wanted = { prompt, model: hd.model.id, size: hd.size, frames, steps, sampler, seed: clip.seed };
      return await order(ports, linked, interaction, wanted);
    }
    case "cancel": {
      requireScopeOf(linked.bearer, "clips:write");
      const orderer = await findOrderer(ports.db, linked.link.id, clip.id);
      if (orderer !== interaction.member.user.id && !managesServer(interaction)) {
        throw new ChatRefusal("Only who ordered the clip, or manages the server, can cancel it.");
      }
      await cancelClip(ports, linked.link.accountId, clip.id);
      return { type: DEFERRED_UPDATE };
    }
    default:
      throw new ChatRefusal("turboclip no longer has this button.");
  }
}

/** Models with their price, and the sizes of the model that is chosen. */
function choicesFor({ data }: CompletedInteraction): APIApplicationCommandOptionChoice<string>[] {
  const focused = data.options.find((option) => option.focused === true);
  const typed = String(focused?.value ?? "").toLowerCase();
  const chosen = data.options.find(({ name }) => name === "model")?.value ?? MODELS[0]?.id ?? "";
  const values = focused?.name === "size" ? (findModel(String(chosen))?.sizes ?? []) : MODELS.map(({ id }) => id);
  return values
    .filter((value) => value.includes(typed))
    .slice(0, MAX_CHOICES)
    .map((value) => ({
      name: focused?.name === "size" ? `${value} (${resolutionOf(value as never)})` : priced(value),
      value,
    }));
}

function priced(modelId: string): string {
  const model = findModel(modelId);
  const [size] = model?.sizes ?? [];
  if (model === undefined || size === undefined) return modelId;
  return `${modelId} · ${formatDollars(priceOf(model, size, model.defaultFrames))}`;
}
