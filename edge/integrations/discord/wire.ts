// The numbers of Discord's protocol that we use, each checked against its published type, and the parts of an
// interaction that we read. https://docs.discord.com/developers/interactions/receiving-and-responding
import type {
  ApplicationCommandOptionType,
  ApplicationCommandType,
  ApplicationIntegrationType,
  ButtonStyle,
  ComponentType,
  InteractionContextType,
  InteractionResponseType,
  InteractionType,
  MessageFlags,
} from "discord-api-types/v10";
import * as z from "zod";

export const PING = 1 satisfies InteractionType.Ping;
export const COMMAND = 2 satisfies InteractionType.ApplicationCommand;
export const COMPONENT = 3 satisfies InteractionType.MessageComponent;
export const AUTOCOMPLETE = 4 satisfies InteractionType.ApplicationCommandAutocomplete;

export const PONG = 1 satisfies InteractionResponseType.Pong;
export const MESSAGE = 4 satisfies InteractionResponseType.ChannelMessageWithSource;
export const DEFERRED_MESSAGE = 5 satisfies InteractionResponseType.DeferredChannelMessageWithSource;
export const DEFERRED_UPDATE = 6 satisfies InteractionResponseType.DeferredMessageUpdate;
export const CHOICES = 8 satisfies InteractionResponseType.ApplicationCommandAutocompleteResult;

export const EPHEMERAL = 64 satisfies MessageFlags.Ephemeral;
export const CHAT_INPUT = 1 satisfies ApplicationCommandType.ChatInput;
export const STRING_OPTION = 3 satisfies ApplicationCommandOptionType.String;
export const INTEGER_OPTION = 4 satisfies ApplicationCommandOptionType.Integer;
export const IN_GUILDS = 0 satisfies InteractionContextType.Guild;
export const BY_GUILDS = 0 satisfies ApplicationIntegrationType.GuildInstall;
export const ACTION_ROW = 1 satisfies ComponentType.ActionRow;
export const BUTTON = 2 satisfies ComponentType.Button;
export const PRIMARY = 1 satisfies ButtonStyle.Primary;
export const SECONDARY = 2 satisfies ButtonStyle.Secondary;
export const DANGER = 4 satisfies ButtonStyle.Danger;

/** The permission Manage Server, bit 5. https://docs.discord.com/developers/topics/permissions */
export const MANAGE_GUILD = 1n << 5n;

const snowflake = z.string().regex(/^\d{1,20}$/);
const option = z.object({
  name: z.string(),
  value: z.union([z.string(), z.number(), z.boolean()]).optional(),
  focused: z.boolean().optional(),
});
const guild = {
  id: snowflake,
  token: z.string().min(1).max(1_000),
  guild_id: snowflake,
  channel_id: snowflake,
  member: z.object({
    user: z.object({ id: snowflake }),
    roles: z.array(snowflake),
    permissions: z.string().regex(/^\d{1,30}$/),
  }),
  attachment_size_limit: z.int().min(0),
};
const commandData = z.object({ name: z.string(), options: z.array(option).default([]) });

/** Commands are registered for servers only, so that all but a ping name one. */
export const interactionSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal(PING) }),
  z.object({ type: z.literal(COMMAND), ...guild, data: commandData }),
  z.object({ type: z.literal(COMPONENT), ...guild, data: z.object({ custom_id: z.string().max(100) }) }),
  z.object({ type: z.literal(AUTOCOMPLETE), ...guild, data: commandData }),
]);
type AnyInteraction = z.output<typeof interactionSchema>;
export type CommandInteraction = Extract<AnyInteraction, { type: typeof COMMAND }>;
export type ComponentInteraction = Extract<AnyInteraction, { type: typeof COMPONENT }>;
export type CompletedInteraction = Extract<AnyInteraction, { type: typeof AUTOCOMPLETE }>;
export type GuildInteraction = CommandInteraction | ComponentInteraction;
