// Discord's double behind a socket, and what the edge must be told to take it for Discord.
import { serve } from "../serve.ts";
import { DiscordDouble } from "./double.ts";

export interface DiscordServer {
  readonly discord: DiscordDouble;
  readonly settings: Readonly<Record<string, string>>;
  readonly close: () => void;
}

export async function startDiscord(): Promise<DiscordServer> {
  const discord = await DiscordDouble.open();
  const { origin, close } = await serve(discord);
  return {
    discord,
    settings: {
      DISCORD_APPLICATION_ID: discord.applicationId,
      DISCORD_PUBLIC_KEY: discord.publicKey,
      DISCORD_BOT_TOKEN: discord.botToken,
      DISCORD_API_URL: `${origin}/api/v10`,
    },
    close,
  };
}
