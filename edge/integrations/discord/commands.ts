// The commands as they are registered with Discord.
import type { RESTPutAPIApplicationCommandsJSONBody } from "discord-api-types/v10";
import { LIMITS } from "../../../shared/contract/clips.ts";
import { BY_GUILDS, CHAT_INPUT, IN_GUILDS, INTEGER_OPTION, MANAGE_GUILD, STRING_OPTION } from "./wire.ts";

/** What Discord lets a string option be. */
const MAX_OPTION_CHARACTERS = 6_000;
const shared = { type: CHAT_INPUT, contexts: [IN_GUILDS], integration_types: [BY_GUILDS] };
/** Who may use them by default; a server may say otherwise in its settings. */
const managers = { default_member_permissions: String(MANAGE_GUILD) };

export const COMMANDS: RESTPutAPIApplicationCommandsJSONBody = [
  {
    ...shared,
    name: "clip",
    description: "Make a short video from a prompt",
    options: [
      {
        type: STRING_OPTION,
        name: "prompt",
        description: "What the clip shows",
        required: true,
        min_length: 1,
        max_length: Math.min(LIMITS.promptCharacters, MAX_OPTION_CHARACTERS),
      },
      { type: STRING_OPTION, name: "model", description: "Which model makes it", autocomplete: true },
      { type: STRING_OPTION, name: "size", description: "Width x height, such as 832x480", autocomplete: true },
      {
        type: INTEGER_OPTION,
        name: "seed",
        description: "Same seed and settings, same clip",
        min_value: 0,
        max_value: Number.MAX_SAFE_INTEGER,
      },
    ],
  },
  {
    ...shared,
    name: "clip-status",
    description: "How your clips are doing",
    options: [{ type: STRING_OPTION, name: "clip", description: "Its id; your last ones if left out" }],
  },
  { ...shared, ...managers, name: "balance", description: "What the linked account can still spend" },
  { ...shared, name: "help", description: "What turboclip can do here" },
  {
    ...shared,
    ...managers,
    name: "turboclip-link",
    description: "Link this server to a turboclip account",
    options: [
      {
        type: STRING_OPTION,
        name: "code",
        description: "The one-time code from the account's owner",
        required: true,
        max_length: 100,
      },
    ],
  },
];
