// What a signed interaction is answered. Within Discord's three seconds only what is short is done here: an order is
// committed with the reply that it is owed, and the Outbox does the rest.
import type { APIApplicationCommandOptionChoice, APIInteractionResponse } from "discord-api-types/v10";
import type { CreateClip } from "../../../shared/contract/clips.ts";
import { ApiError } from "../../../shared/errors.ts";
import { findModel, MODELS, resolutionOf } from "../../../shared/models.ts";
import { formatDollars, priceOf } from "../../../shared/pricing.ts";
import {
  CLIP_ACTIONS,
  type ClipAction,
  cancelInPlace,
  clipOfPlace,
  clipsAskedFor,
  orderAgain,
  orderOf,
} from "../../services/chats/clips.ts";
import { redeemCode } from "../../services/chats/links.ts";
import { type Interaction, orderInChat } from "../../services/chats/order.ts";
import { ChatRefusal, type LinkedPlace, openPlace, type Place } from "../../services/chats/place.ts";
import { describeBalance, NO_CLIPS } from "../../services/chats/words.ts";
import { requireScopeOf } from "../../services/keys/scope.ts";
import { getBalance } from "../../services/money/balance.ts";
import type { Ports } from "../../services/ports.ts";
import { lineOf } from "./message.ts";
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
/** What Discord shows at most. */
const MAX_CHOICES = 25;

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
      return say(describeBalance(balance));
    }
    case "clip-status":
      return say(await statusOf(ports, await openPlace(ports, place), interaction, given.clip));
    case "clip": {
      const linked = await openPlace(ports, place);
      const { prompt, model, size, seed } = given;
      return await order(ports, linked, interaction, orderOf({ prompt, model, size, seed }));
    }
    default:
      throw new ChatRefusal("turboclip no longer has this command.");
  }
}

async function order(
  ports: Ports,
  linked: LinkedPlace,
  interaction: GuildInteraction,
  request: CreateClip,
): Promise<APIInteractionResponse> {
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
  await orderInChat(ports, linked, ordered, request);
  return { type: DEFERRED_MESSAGE };
}

async function statusOf(
  ports: Ports,
  linked: LinkedPlace,
  interaction: GuildInteraction,
  wanted: unknown,
): Promise<string> {
  const clips = await clipsAskedFor(ports, linked, interaction.member.user.id, wanted);
  return clips.length === 0 ? NO_CLIPS : clips.map((clip) => `\`${clip.id}\` ${lineOf(clip, false)}`).join("\n");
}

async function answerButton(ports: Ports, interaction: ComponentInteraction): Promise<APIInteractionResponse> {
  const [action, id] = interaction.data.custom_id.split(":") as [ClipAction, string | undefined];
  if (!CLIP_ACTIONS.includes(action)) throw new ChatRefusal("turboclip no longer has this button.");
  const linked = await openPlace(ports, placeOf(interaction));
  const clip = await clipOfPlace(ports, linked, id);
  if (action !== "cancel") return await order(ports, linked, interaction, orderAgain(clip, action));
  const manages = async () => managesServer(interaction);
  await cancelInPlace(ports, linked, clip.id, { userId: interaction.member.user.id, manages });
  return { type: DEFERRED_UPDATE };
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
