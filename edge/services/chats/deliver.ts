// What an Outbox does for a chat's server or workspace when it wakes: brings a bounded batch of its due replies up to
// date, and writes what came of each, fenced by the version that was read (decision 0100). What a message looks like and
// how it travels is the platform's adapter's.
import {
  type DueReply,
  findDueReplies,
  findNextReplyDue,
  type ReplyChange,
  recordSending,
} from "../../../db/queries/chats/replies.ts";
import { commitAll } from "../../../db/queries/transitions.ts";
import type { Lane, ReplyFiles, ReplyRoute } from "../../../db/schema.ts";
import type { Clip } from "../../../shared/contract/clips.ts";
import { ApiError } from "../../../shared/errors.ts";
import { isTerminal } from "../../../shared/states.ts";
import { getClip } from "../clips/get.ts";
import type { Ports } from "../ports.ts";

/** An invocation has six connections, and files of some megabytes lie in memory while they are sent. */
const AT_ONCE = 4;
export const EDIT_INTERVAL_MS = 5_000;
/** The last progress by a token comes so long before its end, and says how it goes on. */
export const LAST_EDIT_MS = 60_000;
/** So soon after the order, "unknown message" may only mean that our acknowledgement has not been read yet. */
const ACKNOWLEDGED_BY_MS = 10_000;
const MAX_WAIT_MS = 60_000;
/** After its clip's end a reply is tried so long. */
export const GIVE_UP_MS = 24 * 3_600_000;
/** A reply that cannot even be made is tried about as long: once a minute for a day. */
export const GIVE_UP_AFTER = GIVE_UP_MS / MAX_WAIT_MS;
/** A file that has gone wrong so often is linked: whoever waits for it should not wait for a day. */
export const FILE_TRIES = 5;

const NEXT_ROUTE: Readonly<Record<ReplyRoute, ReplyRoute | null>> = {
  token: "channel",
  channel: "direct",
  direct: null,
};

export type SendOutcome =
  | { readonly kind: "sent" }
  | { readonly kind: "limited"; readonly waitMs: number }
  | { readonly kind: "too large"; readonly error: string }
  /** This way is closed, however often it is tried. */
  | { readonly kind: "refused"; readonly error: string }
  /** Nobody knows whether it arrived; it may be tried again. */
  | { readonly kind: "failed"; readonly error: string };

export type FileOutcome =
  | { readonly kind: "advanced"; readonly files: ReplyFiles }
  | Exclude<SendOutcome, { kind: "sent" }>;

/** What a message is to say: the clip as it is, or null if it was deleted. */
export interface Telling {
  readonly clip: Clip | null;
  /** It has not ended, and there will be no more progress before it has. */
  readonly late: boolean;
}

export interface ChatAdapter {
  /** What a message would show of a clip that goes on: another text, another message. */
  sightOf(clip: Clip): string;
  /** Whether a clip that goes on is looked at every EDIT_INTERVAL_MS, or only at its events. */
  readonly followsSteps: boolean;
  /** Of a counted token's uses, those that progress leaves for the clip's end. */
  readonly usesKept: number;
  /** One step of posting a clip's files, where the platform takes them apart from the message. */
  readonly advanceFiles?: (reply: DueReply, clip: Clip) => Promise<FileOutcome>;
  tell(reply: DueReply, telling: Telling): Promise<SendOutcome>;
}

/** Returns when the lane is next due, or null when nothing is until an event. Safe to run at any time, twice, or late. */
export async function deliverReplies(ports: Ports, adapter: ChatAdapter, lane: Lane): Promise<number | null> {
  const due = await findDueReplies(ports.db, lane, ports.clock.now(), AT_ONCE);
  const changes = await Promise.all(
    due.map(async (reply) => ({
      reply,
      change: await bringUpToDate(ports, adapter, reply).catch(troubled(ports, reply)),
    })),
  );
  await commitAll(
    ports.db,
    changes.flatMap(({ reply, change }) => recordSending(ports.db, reply, change)),
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

/** What is wrong with one reply (a sealed token that no key opens, a file that cannot be read) holds up no other. */
function troubled(ports: Pick<Ports, "clock" | "log">, reply: DueReply): (error: unknown) => ReplyChange {
  return (error) => {
    const reason = error instanceof Error ? error.name : typeof error;
    ports.log("error", "a reply could not be made", { platform: reply.platform, clip: reply.clipId, error: reason });
    const told = `the reply could not be made (${reason})`;
    if (reply.failures + 1 >= GIVE_UP_AFTER) return failed(reply, told);
    return again(reply, told, { nowMs: ports.clock.now(), endedAtMs: null });
  };
}

async function bringUpToDate(ports: Ports, adapter: ChatAdapter, reply: DueReply): Promise<ReplyChange> {
  const clip = await clipOf(ports, reply);
  const now = ports.clock.now();
  const tokenIsOver = now >= reply.deadlineMs || reply.usesLeft === 0;
  const read = { ...reply, route: reply.route === "token" && tokenIsOver ? "channel" : reply.route } as const;
  if (clip === null || isTerminal(clip.state)) return await tellEnd(ports, adapter, read, clip);
  if (read.route !== "token") return { ...read, dueAtMs: null };
  if (read.usesLeft !== null && read.usesLeft <= adapter.usesKept) return { ...read, dueAtMs: null };
  const soonest = reply.sentAtMs === null ? now : reply.sentAtMs + EDIT_INTERVAL_MS;
  if (now < soonest) return { ...reply, dueAtMs: soonest };
  const late = now >= reply.deadlineMs - LAST_EDIT_MS;
  const shown = `${adapter.sightOf(clip)}${late ? " late" : ""}`;
  const next = (atMs: number) => nextLook(adapter, read, atMs, late);
  if (shown === reply.shown) return { ...read, dueAtMs: next(now) };
  const outcome = await adapter.tell(read, { clip, late });
  const told = spend(read, outcome);
  const toldAtMs = ports.clock.now();
  if (outcome.kind === "sent") return { ...well(told, shown, toldAtMs), dueAtMs: next(toldAtMs) };
  return afterwards(told, outcome, { nowMs: toldAtMs, endedAtMs: null });
}

/** After the last progress by the token, only the clip's end is told. */
function nextLook(adapter: ChatAdapter, reply: DueReply, nowMs: number, late: boolean): number | null {
  if (late) return null;
  const lastMs = reply.deadlineMs - LAST_EDIT_MS;
  return adapter.followsSteps ? Math.min(nowMs + EDIT_INTERVAL_MS, lastMs) : lastMs;
}

async function tellEnd(ports: Ports, adapter: ChatAdapter, reply: DueReply, clip: Clip | null): Promise<ReplyChange> {
  // Nobody knows any more when a deleted clip ended; who ordered it has waited since the token's time was over.
  const endedAtMs = clip?.finished_at == null ? reply.deadlineMs : Date.parse(clip.finished_at);
  const bytes = clip?.output?.mp4.bytes;
  if (clip !== null && bytes !== undefined && bytes <= reply.sizeLimit && reply.files?.posted !== true) {
    const outcome = await adapter.advanceFiles?.(reply, clip);
    if (outcome !== undefined) return afterFiles(reply, outcome, { nowMs: ports.clock.now(), endedAtMs });
  }
  const outcome = await adapter.tell(reply, { clip, late: false });
  const told = spend(reply, outcome);
  const nowMs = ports.clock.now();
  if (outcome.kind !== "sent") return afterwards(told, outcome, { nowMs, endedAtMs });
  const shown = clip === null ? "deleted" : clip.state;
  return { ...well(told, shown, nowMs), state: "delivered", token: null, dueAtMs: null };
}

function well(reply: DueReply, shown: string, nowMs: number): DueReply {
  return { ...reply, shown, sentAtMs: nowMs, failures: 0, lastError: null };
}

/** What was limited was not looked at; whatever else was sent may have counted. */
function spend(reply: DueReply, { kind }: SendOutcome): DueReply {
  const counts = reply.route === "token" && reply.usesLeft !== null && kind !== "limited";
  return counts ? { ...reply, usesLeft: Math.max((reply.usesLeft ?? 0) - 1, 0) } : reply;
}

interface Times {
  readonly nowMs: number;
  /** Null while the clip goes on. */
  readonly endedAtMs: number | null;
}

function afterFiles(reply: DueReply, outcome: FileOutcome, times: Times): ReplyChange {
  switch (outcome.kind) {
    case "advanced":
      return { ...reply, files: outcome.files, failures: 0, lastError: null, dueAtMs: times.nowMs };
    case "limited":
      return waiting(reply, outcome.waitMs, times);
    case "failed":
      return reply.failures + 1 < FILE_TRIES
        ? again(reply, outcome.error, times)
        : linkInstead(reply, outcome.error, times);
    case "too large":
    case "refused":
      return linkInstead(reply, outcome.error, times);
  }
}

function linkInstead(reply: DueReply, error: string, { nowMs }: Times): ReplyChange {
  return { ...reply, sizeLimit: 0, failures: 0, dueAtMs: nowMs, lastError: error };
}

/** What a sending that did not go well makes of its reply. */
function afterwards(reply: DueReply, outcome: Exclude<SendOutcome, { kind: "sent" }>, times: Times): ReplyChange {
  switch (outcome.kind) {
    case "limited":
      return waiting(reply, outcome.waitMs, times);
    case "too large":
      if (reply.sizeLimit > 0) return linkInstead(reply, outcome.error, times);
      return closed(reply, outcome.error, times);
    case "refused":
      if (reply.route === "token" && times.nowMs < reply.createdAtMs + ACKNOWLEDGED_BY_MS) {
        return again(reply, outcome.error, times);
      }
      return closed(reply, outcome.error, times);
    case "failed":
      return again(reply, outcome.error, times);
  }
}

/** The next route; until the clip has ended there is nothing to say by it. */
function closed(reply: DueReply, error: string, { endedAtMs, nowMs }: Times): ReplyChange {
  const next = NEXT_ROUTE[reply.route];
  if (next === null) return failed(reply, error);
  return { ...reply, route: next, failures: 0, dueAtMs: endedAtMs === null ? null : nowMs, lastError: error };
}

function failed(reply: DueReply, error: string): ReplyChange {
  return { ...reply, state: "failed", token: null, dueAtMs: null, lastError: error };
}

const isOver = ({ nowMs, endedAtMs }: Times) => endedAtMs !== null && nowMs - endedAtMs >= GIVE_UP_MS;

/** As long as the platform asks for, unless it has been asking for a day. */
function waiting(reply: DueReply, waitMs: number, times: Times): ReplyChange {
  if (isOver(times)) return failed(reply, "the platform limited what is sent until nobody waited any more");
  return { ...reply, dueAtMs: times.nowMs + waitMs };
}

function again(reply: DueReply, error: string, times: Times): ReplyChange {
  if (isOver(times)) return failed(reply, error);
  const { nowMs } = times;
  const failures = reply.failures + 1;
  return { ...reply, failures, dueAtMs: nowMs + Math.min(1_000 * 2 ** failures, MAX_WAIT_MS), lastError: error };
}
