// Which platform delivers a chat's lane.
import type { Lane } from "../../db/schema.ts";
import { CHAT_PLATFORMS, type ChatPlatform } from "../../shared/contract/chats.ts";
import { type ChatAdapter, deliverReplies } from "../services/chats/deliver.ts";
import type { Ports } from "../services/ports.ts";
import type { Settings } from "../settings.ts";
import { discordApi } from "./discord/api.ts";
import { discordOf } from "./discord/application.ts";
import { discordAdapter } from "./discord/deliver.ts";
import { slackApi } from "./slack/api.ts";
import { slackOf } from "./slack/application.ts";
import { slackAdapter } from "./slack/deliver.ts";

/** A deployment whose application was taken away keeps what it owes, in case that was a mistake. */
const LOOK_AGAIN_MS = 600_000;

const send = async (request: Request) => await fetch(request);

/** Null where the deployment has no application of the platform. */
const ADAPTERS: Readonly<Record<ChatPlatform, (ports: Ports, settings: Settings, lane: Lane) => ChatAdapter | null>> = {
  discord(ports, settings) {
    const application = discordOf(settings);
    return application && discordAdapter(ports, discordApi(application, send));
  },
  slack(ports, settings, lane) {
    const application = slackOf(settings);
    return application && slackAdapter(ports, slackApi(application, send), lane);
  },
};

/** The platform whose chat the lane is; undefined for a webhook's. */
export function platformOf(lane: Lane): ChatPlatform | undefined {
  return CHAT_PLATFORMS.find((platform) => lane.startsWith(`${platform}:`));
}

export async function deliverChat(
  ports: Ports,
  settings: Settings,
  lane: Lane,
  platform: ChatPlatform,
): Promise<number | null> {
  const adapter = ADAPTERS[platform](ports, settings, lane);
  if (adapter === null) return ports.clock.now() + LOOK_AGAIN_MS;
  return await deliverReplies(ports, adapter, lane);
}
