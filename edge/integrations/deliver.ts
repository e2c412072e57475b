// Which platform delivers a chat's lane.
import type { Lane } from "../../db/schema.ts";
import { deliverReplies } from "../services/chats/deliver.ts";
import type { Ports } from "../services/ports.ts";
import type { Settings } from "../settings.ts";
import { discordApi } from "./discord/api.ts";
import { discordOf } from "./discord/application.ts";
import { discordAdapter } from "./discord/deliver.ts";

/** A deployment whose application was taken away keeps what it owes, in case that was a mistake. */
const LOOK_AGAIN_MS = 600_000;

export function isChatLane(lane: Lane): boolean {
  return lane.startsWith("discord:");
}

export async function deliverChat(ports: Ports, settings: Settings, lane: Lane): Promise<number | null> {
  const application = discordOf(settings);
  if (application === null) return ports.clock.now() + LOOK_AGAIN_MS;
  const api = discordApi(application, async (request) => await fetch(request));
  return await deliverReplies(ports, discordAdapter(ports, api), lane);
}
