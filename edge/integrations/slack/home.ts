// The app's Home tab: what the account can spend, for who manages the workspace, and the user's own last clips.
// https://docs.slack.dev/surfaces/app-home
import type { HomeView, KnownBlock } from "@slack/types";
import { ApiError } from "../../../shared/errors.ts";
import { lastClipsOf } from "../../services/chats/clips.ts";
import { openInstallation } from "../../services/chats/installations.ts";
import { ChatRefusal, type LinkedPlace, openPlace } from "../../services/chats/place.ts";
import { describeBalance, NO_CLIPS } from "../../services/chats/words.ts";
import { getBalance } from "../../services/money/balance.ts";
import { HELP } from "./commands.ts";
import { buttonlessClip, section } from "./message.ts";
import { type Answering, manages, workspace } from "./people.ts";
import { escapeText } from "./wire.ts";

/** Throws what makes Slack tell of the event again, where the view did not arrive. */
export async function publishHome(answering: Answering, teamId: string, userId: string): Promise<void> {
  const { ports, api } = answering;
  const installation = await openInstallation(ports, workspace(teamId));
  if (installation === null) return; // uninstalled meanwhile
  const view: HomeView = { type: "home", blocks: await blocksFor(answering, teamId, userId) };
  const outcome = await api.publishHome(installation.token, userId, view);
  if (outcome.kind === "refused") ports.log("warn", "Slack refused a Home tab", { error: outcome.error });
  else if (outcome.kind !== "sent") throw new ApiError("internal", "The Home tab could not be brought up to date.");
}

async function blocksFor(answering: Answering, teamId: string, userId: string): Promise<KnownBlock[]> {
  try {
    const linked = await openPlace(answering.ports, workspace(teamId));
    const clips = await lastClipsOf(answering.ports, linked, userId);
    return [
      ...(await balanceFor(answering, linked, { teamId, userId })),
      { type: "header", text: { type: "plain_text", text: "Your last clips" } },
      ...(clips.length === 0 ? [section(NO_CLIPS)] : clips.flatMap(buttonlessClip)),
      { type: "divider" },
      section(HELP),
    ];
  } catch (error) {
    if (error instanceof ChatRefusal || error instanceof ApiError)
      return [section(escapeText(error.message)), section(HELP)];
    throw error;
  }
}

async function balanceFor(
  answering: Answering,
  { bearer }: LinkedPlace,
  { teamId, userId }: { readonly teamId: string; readonly userId: string },
): Promise<KnownBlock[]> {
  if (!bearer.scopes.includes("billing:read") || !(await manages(answering, teamId, userId))) return [];
  return [section(describeBalance(await getBalance(answering.ports, bearer.accountId)))];
}
