// Who may speak for a workspace: whoever installed the app there, and whoever Slack says administers it.
import { openInstallation } from "../../services/chats/installations.ts";
import { ChatRefusal, type Place } from "../../services/chats/place.ts";
import type { Ports } from "../../services/ports.ts";
import type { SlackApi } from "./api.ts";

/** What answers a request of Slack's. */
export interface Answering {
  readonly ports: Ports;
  /** With a timeout that leaves time to answer within three seconds. */
  readonly api: SlackApi;
}

export function workspace(teamId: string): Place {
  return { platform: "slack", placeId: teamId };
}

/** Throws ChatRefusal where that cannot be found out. */
export async function manages({ ports, api }: Answering, teamId: string, userId: string): Promise<boolean> {
  const installation = await openInstallation(ports, workspace(teamId));
  if (installation === null) {
    throw new ChatRefusal(
      `This workspace has not installed turboclip: ${ports.publicOrigin}/integrations/slack/install`,
    );
  }
  if (installation.installedBy === userId) return true;
  const admin = await api.isAdmin(installation.token, userId);
  if (admin.kind !== "answered") throw new ChatRefusal("Slack did not say in time who you are; please try again.");
  return admin.value;
}

/** Throws ChatRefusal. */
export async function requireManager(answering: Answering, teamId: string, userId: string): Promise<void> {
  if (!(await manages(answering, teamId, userId))) {
    throw new ChatRefusal("This is for who installed turboclip here, and for the workspace's admins.");
  }
}
