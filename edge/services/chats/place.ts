// Where in a chat something is asked for, and what the link that stands there allows.
import { type ChatLinkRow, findPlaceLink } from "../../../db/queries/chats/links.ts";
import type { ChatPlatform } from "../../../shared/contract/chats.ts";
import type { Bearer } from "../keys/verify.ts";
import { requireActive } from "../keys/verify.ts";
import type { Ports } from "../ports.ts";

export interface Place {
  readonly platform: ChatPlatform;
  /** The platform's id of the server or workspace. */
  readonly placeId: string;
}

/** What a place is called there, and the commands of it that our texts name. */
export const WORDS: Readonly<
  Record<ChatPlatform, { readonly place: string; readonly link: string; readonly status: string }>
> = {
  discord: { place: "server", link: "/turboclip-link", status: "/clip-status" },
  slack: { place: "workspace", link: "/clip link", status: "/clip status" },
};

/** A refusal for the eyes of whoever asked in the chat. */
export class ChatRefusal extends Error {
  override readonly name = "ChatRefusal";
}

export interface LinkedPlace {
  readonly link: ChatLinkRow;
  /** The key that the link lends, as if it had called by itself. */
  readonly bearer: Bearer;
}

/** Throws ChatRefusal where no link stands, key_revoked or key_expired. */
export async function openPlace(
  ports: Pick<Ports, "db" | "clock">,
  { platform, placeId }: Place,
): Promise<LinkedPlace> {
  const found = await findPlaceLink(ports.db, platform, placeId);
  if (found === undefined) {
    const { place, link } = WORDS[platform];
    throw new ChatRefusal(
      `This ${place} is not linked to a turboclip account yet. Whoever holds its API key gets a code by ` +
        `\`POST /v1/integrations/links\`; whoever manages this ${place} redeems it with \`${link}\`.`,
    );
  }
  const { link, key } = found;
  requireActive(key, ports.clock.now());
  const { accountId, id: keyId, scopes } = key;
  return { link, bearer: { accountId, keyId, tokenId: null, scopes, key, token: null } };
}

/** Throws ChatRefusal where the link's rules do not let this member order in this channel. */
export function requireAllowed(link: ChatLinkRow, channelId: string, roles: readonly string[]): void {
  if (link.channels !== null && !link.channels.includes(channelId)) {
    throw new ChatRefusal(
      `Clips may not be ordered in this channel; its ${WORDS[link.platform].place}'s link names others.`,
    );
  }
  if (link.roles !== null && !link.roles.some((role) => roles.includes(role))) {
    throw new ChatRefusal("Ordering clips takes a role that you do not have in this server.");
  }
}
