// The Discord application of this deployment, if its settings name one.
import type { Settings } from "../../settings.ts";

export interface DiscordApplication {
  readonly id: string;
  /** Ed25519, 64 hex digits. */
  readonly publicKey: string;
  readonly botToken: string;
  /** Discord's HTTP API with its version, without a slash at the end. */
  readonly apiUrl: string;
}

export function discordOf(settings: Settings): DiscordApplication | null {
  const { DISCORD_APPLICATION_ID: id, DISCORD_PUBLIC_KEY: publicKey, DISCORD_BOT_TOKEN: botToken } = settings;
  if (id === undefined || publicKey === undefined || botToken === undefined) return null;
  return { id, publicKey, botToken, apiUrl: settings.DISCORD_API_URL };
}
