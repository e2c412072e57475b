// A reply as Discord takes it: the original answer edited while the interaction's token lives, with the file attached
// where it fits, and after that a message of the bot.
import type { DueReply } from "../../../db/queries/chats/replies.ts";
import type { Clip } from "../../../shared/contract/clips.ts";
import type { ChatAdapter, SendOutcome, Telling } from "../../services/chats/deliver.ts";
import { tokenContext } from "../../services/chats/order.ts";
import { sightOf } from "../../services/clips/watch.ts";
import { outputKey } from "../../services/files/output.ts";
import type { Ports } from "../../services/ports.ts";
import type { DiscordApi, Sent } from "./api.ts";
import { type ClipMessage, clipMessage, DELETED_MESSAGE, lateMessage } from "./message.ts";

/** What every direct message may carry. https://docs.discord.com/developers/reference#uploading-files */
const DIRECT_SIZE_LIMIT = 10 * 1024 * 1024;

export function discordAdapter(ports: Pick<Ports, "store" | "vault">, api: DiscordApi): ChatAdapter {
  return {
    followsSteps: true,
    usesKept: 0,
    sightOf,
    tell: async (reply, telling) => await send(ports, api, reply, await compose(ports, reply, telling)),
  };
}

async function compose(ports: Pick<Ports, "store">, reply: DueReply, { clip, late }: Telling): Promise<Sent> {
  const toUser = (message: ClipMessage): ClipMessage =>
    reply.route !== "channel"
      ? message
      : { ...message, content: `<@${reply.userId}> ${message.content}`, allowed_mentions: { users: [reply.userId] } };
  if (clip === null) return { message: toUser(DELETED_MESSAGE), mp4: null };
  const mp4 = await readMp4(ports, reply, clip);
  const message = late ? lateMessage(clip) : clipMessage(clip, mp4 !== null);
  return { message: toUser(message), mp4 };
}

/** The file where it may be attached; null where a link must do. */
async function readMp4(ports: Pick<Ports, "store">, reply: DueReply, clip: Clip): Promise<Blob | null> {
  if (clip.output === null) return null;
  const { bytes, content_type: type } = clip.output.mp4;
  const limit = reply.route === "direct" ? Math.min(reply.sizeLimit, DIRECT_SIZE_LIMIT) : reply.sizeLimit;
  if (bytes > limit) return null;
  const body = await ports.store.read(outputKey(clip.id, clip.attempt, "mp4"), 0, bytes);
  return body === null ? null : new Blob([await new Response(body).arrayBuffer()], { type });
}

async function send(ports: Pick<Ports, "vault">, api: DiscordApi, reply: DueReply, sent: Sent): Promise<SendOutcome> {
  if (reply.route === "channel") return await api.createMessage(reply.channelId, reply.id, sent);
  if (reply.route === "direct") return await api.createDirectMessage(reply.userId, reply.id, sent);
  if (reply.token === null) return { kind: "refused", error: "the interaction has no token any more" };
  return await api.editOriginal(await ports.vault.open(reply.token, tokenContext(reply.platform, reply.id)), sent);
}
