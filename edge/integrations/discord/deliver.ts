// What an Outbox does for a Discord server when it wakes: brings a bounded batch of its due replies up to date, and
// writes what came of each, fenced by the version that was read (decision 0100).
import {
  type DueReply,
  findDueReplies,
  findNextReplyDue,
  type ReplyChange,
  recordSending,
} from "../../../db/queries/chats/replies.ts";
import { commitAll } from "../../../db/queries/transitions.ts";
import type { Lane, ReplyRoute } from "../../../db/schema.ts";
import type { Clip } from "../../../shared/contract/clips.ts";
import { ApiError } from "../../../shared/errors.ts";
import { isTerminal } from "../../../shared/states.ts";
import { tokenContext } from "../../services/chats/order.ts";
import { getClip } from "../../services/clips/get.ts";
import { sightOf } from "../../services/clips/watch.ts";
import { outputKey } from "../../services/files/output.ts";
import type { Ports } from "../../services/ports.ts";
import type { DiscordApi, SendOutcome, Sent } from "./api.ts";
import { type ClipMessage, clipMessage, DELETED, lateMessage } from "./message.ts";

/** An invocation has six connections, and files of some megabytes lie in memory while they are sent. */
const AT_ONCE = 4;
export const EDIT_INTERVAL_MS = 5_000;
/** The last edit by a token comes so long before its end, and says how it goes on. */
export const LAST_EDIT_MS = 60_000;
/** So soon after the order, "unknown message" may only mean that our acknowledgement has not been read yet. */
const ACKNOWLEDGED_BY_MS = 10_000;
const MAX_WAIT_MS = 60_000;
/** After its clip's end a reply is tried so long. */
export const GIVE_UP_MS = 24 * 3_600_000;
/** What every direct message may carry. https://docs.discord.com/developers/reference#uploading-files */
const DIRECT_SIZE_LIMIT = 10 * 1024 * 1024;

const NEXT_ROUTE: Readonly<Record<ReplyRoute, ReplyRoute | null>> = {
  token: "channel",
  channel: "direct",
  direct: null,
};

/** Returns when the lane is next due, or null when nothing is until an event. Safe to run at any time, twice, or late. */
export async function deliverReplies(ports: Ports, api: DiscordApi, lane: Lane): Promise<number | null> {
  const due = await findDueReplies(ports.db, lane, ports.clock.now(), AT_ONCE);
  const changes = await Promise.all(
    due.map(async (reply) => ({ reply, change: await bringUpToDate(ports, api, reply) })),
  );
  await commitAll(
    ports.db,
    changes.map(({ reply, change }) => recordSending(ports.db, reply, change)),
  );
  return await findNextReplyDue(ports.db, lane);
}

async function clipOf(ports: Ports, { accountId, clipId }: DueReply): Promise<Clip | null> {
  try {
    return await getClip(ports, accountId, clipId);
  } catch (error) {
    if (error instanceof ApiError && error.code === "not_found") return null; // deleted meanwhile
    throw error;
  }
}

async function bringUpToDate(ports: Ports, api: DiscordApi, reply: DueReply): Promise<ReplyChange> {
  const clip = await clipOf(ports, reply);
  const now = ports.clock.now();
  const ended = clip === null || isTerminal(clip.state);
  const route = reply.route === "token" && now >= reply.deadlineMs ? "channel" : reply.route;
  if (!ended && route !== "token") return { ...reply, route, dueAtMs: null };
  const late = !ended && now >= reply.deadlineMs - LAST_EDIT_MS;
  const shown = clip === null ? "deleted" : `${sightOf(clip)}${late ? " late" : ""} ${clip.queue?.position ?? ""}`;
  const read = { ...reply, route } as const;
  const soonest = reply.sentAtMs === null ? now : reply.sentAtMs + EDIT_INTERVAL_MS;
  if (!ended && now < soonest) return { ...reply, dueAtMs: soonest };
  if (!ended && shown === reply.shown) return { ...read, dueAtMs: nextLook(read, now, late) };
  const sent = await compose(ports, read, clip, late);
  const outcome = await send(ports, api, read, sent);
  return afterwards(read, outcome, { ended, late, shown, nowMs: ports.clock.now(), endedAtMs: endOf(clip, now) });
}

function endOf(clip: Clip | null, nowMs: number): number {
  return clip?.finished_at == null ? nowMs : Date.parse(clip.finished_at);
}

/** After the last edit by the token, only the clip's end is told. */
function nextLook(reply: DueReply, nowMs: number, late: boolean): number | null {
  return late ? null : Math.min(nowMs + EDIT_INTERVAL_MS, reply.deadlineMs - LAST_EDIT_MS);
}

async function compose(ports: Ports, reply: DueReply, clip: Clip | null, late: boolean): Promise<Sent> {
  const toUser = (message: ClipMessage): ClipMessage =>
    reply.route !== "channel"
      ? message
      : { ...message, content: `<@${reply.userId}> ${message.content}`, allowed_mentions: { users: [reply.userId] } };
  if (clip === null) return { message: toUser(DELETED), mp4: null };
  const mp4 = await readMp4(ports, reply, clip);
  const message = late ? lateMessage(clip) : clipMessage(clip, mp4 !== null);
  return { message: toUser(message), mp4 };
}

/** The file where it may be attached; null where a link must do. */
async function readMp4(ports: Ports, reply: DueReply, clip: Clip): Promise<Blob | null> {
  if (clip.output === null) return null;
  const { bytes, content_type: type } = clip.output.mp4;
  const limit = reply.route === "direct" ? Math.min(reply.sizeLimit, DIRECT_SIZE_LIMIT) : reply.sizeLimit;
  if (bytes > limit) return null;
  const body = await ports.store.read(outputKey(clip.id, clip.attempt, "mp4"), 0, bytes);
  return body === null ? null : new Blob([await new Response(body).arrayBuffer()], { type });
}

async function send(ports: Ports, api: DiscordApi, reply: DueReply, sent: Sent): Promise<SendOutcome> {
  if (reply.route === "channel") return await api.createMessage(reply.channelId, reply.id, sent);
  if (reply.route === "direct") return await api.createDirectMessage(reply.userId, reply.id, sent);
  if (reply.token === null) return { kind: "refused", error: "the interaction has no token any more" };
  return await api.editOriginal(await ports.vault.open(reply.token, tokenContext(reply.platform, reply.id)), sent);
}

interface Circumstances {
  readonly ended: boolean;
  readonly late: boolean;
  readonly shown: string;
  readonly nowMs: number;
  readonly endedAtMs: number;
}

/** What a sending's outcome makes of its reply. */
function afterwards(reply: DueReply, outcome: SendOutcome, circumstances: Circumstances): ReplyChange {
  const { ended, late, shown, nowMs } = circumstances;
  switch (outcome.kind) {
    case "sent": {
      const well = { ...reply, shown, sentAtMs: nowMs, failures: 0, lastError: null };
      return ended
        ? { ...well, state: "delivered", token: null, dueAtMs: null }
        : { ...well, dueAtMs: nextLook(reply, nowMs, late) };
    }
    case "limited":
      return { ...reply, dueAtMs: nowMs + outcome.waitMs };
    case "too large":
      if (reply.sizeLimit > 0) return { ...reply, sizeLimit: 0, dueAtMs: nowMs, lastError: outcome.error };
      return closed(reply, outcome.error, circumstances);
    case "refused":
      if (reply.route === "token" && nowMs < reply.createdAtMs + ACKNOWLEDGED_BY_MS) {
        return again(reply, outcome.error, circumstances);
      }
      return closed(reply, outcome.error, circumstances);
    case "failed":
      return again(reply, outcome.error, circumstances);
  }
}

/** The next route; until the clip has ended there is nothing to say by it. */
function closed(reply: DueReply, error: string, { ended, nowMs }: Circumstances): ReplyChange {
  const next = NEXT_ROUTE[reply.route];
  if (next === null) return { ...reply, state: "failed", token: null, dueAtMs: null, lastError: error };
  return { ...reply, route: next, failures: 0, dueAtMs: ended ? nowMs : null, lastError: error };
}

function again(reply: DueReply, error: string, { ended, nowMs, endedAtMs }: Circumstances): ReplyChange {
  if (ended && nowMs - endedAtMs >= GIVE_UP_MS) {
    return { ...reply, state: "failed", token: null, dueAtMs: null, lastError: error };
  }
  const failures = reply.failures + 1;
  return { ...reply, failures, dueAtMs: nowMs + Math.min(1_000 * 2 ** failures, MAX_WAIT_MS), lastError: error };
}
