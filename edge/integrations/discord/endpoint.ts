// Where Discord sends its interactions. Not under /v1: who calls is known by the signature, not by a key.

import { ApiError } from "../../../shared/errors.ts";
import type { EdgeApp } from "../../context.ts";
import { discordOf } from "./application.ts";
import { answerInteraction } from "./interactions.ts";
import { requireDiscord } from "./verify.ts";

export const DISCORD_PATH = "/integrations/discord/interactions";

export function registerDiscord(app: EdgeApp): void {
  app.post(DISCORD_PATH, async (c) => {
    const application = discordOf(c.get("settings"));
    if (application === null) {
      const detail = "This deployment has no Discord application; its settings DISCORD_* name one (docs/discord.md).";
      throw new ApiError("not_found", detail);
    }
    const body = await c.req.text();
    const ports = c.get("ports");
    const signed = {
      signature: c.req.header("x-signature-ed25519"),
      timestamp: c.req.header("x-signature-timestamp"),
      body,
    };
    await requireDiscord(application.publicKey, signed, ports.clock.now());
    return c.json(await answerInteraction(ports, parse(body)));
  });
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw new ApiError("invalid_request", "An interaction is JSON.");
  }
}
