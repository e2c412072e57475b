// A clip that is ordered in a chat: an order of the link's key, committed together with the counts of its channel and
// user and with the reply that is owed for it.
import { violatedConstraint } from "../../../db/database.ts";
import type { ChatLinkRow } from "../../../db/queries/chats/links.ts";
import { insertReply } from "../../../db/queries/chats/replies.ts";
import { countChatOrder } from "../../../db/queries/chats/spend.ts";
import type { Lane } from "../../../db/schema.ts";
import { type Clip, type CreateClip, clipSchema } from "../../../shared/contract/clips.ts";
import { utcDay } from "../../../shared/days.ts";
import { formatDollars } from "../../../shared/pricing.ts";
import { createClip } from "../clips/create.ts";
import { requireScopeOf } from "../keys/scope.ts";
import type { Ports } from "../ports.ts";
import { wakeLanes } from "../webhooks/wake.ts";
import { ChatRefusal, type LinkedPlace, type Place, requireAllowed } from "./place.ts";

/** One request of one person, as the platform told of it. */
export interface Interaction extends Place {
  readonly id: string;
  readonly channelId: string;
  readonly userId: string;
  readonly roles: readonly string[];
  /** What lets us answer it, until the deadline, and so often if the platform counts. */
  readonly token: string;
  readonly deadlineMs: number;
  readonly usesLeft: number | null;
  /** Bytes of the largest file that may be attached to the answer. */
  readonly sizeLimit: number;
}

/** The platform must have read our acknowledgement before it takes the reply's first edit. */
const FIRST_EDIT_MS = 1_000;

/** What is delivered one after the other: the replies of one place. */
export function laneOf({ platform, placeId }: Place): Lane {
  return `${platform}:${placeId}` as Lane;
}

/** Binds a sealed token to its interaction. */
export function tokenContext(platform: string, id: string): string {
  return `chat reply ${platform} ${id}`;
}

/** Safe to repeat: an interaction orders once. Throws ChatRefusal, scope_missing and whatever createClip refuses by. */
export async function orderInChat(
  ports: Ports,
  { link, bearer }: LinkedPlace,
  interaction: Interaction,
  request: CreateClip,
): Promise<Clip> {
  const { id, platform, channelId, userId } = interaction;
  requireScopeOf(bearer, "clips:write");
  requireAllowed(link, channelId, interaction.roles);
  const createdAtMs = ports.clock.now();
  const lane = laneOf(interaction);
  const reply = {
    id,
    platform,
    lane,
    linkId: link.id,
    channelId,
    userId,
    token: await ports.vault.seal(interaction.token, tokenContext(platform, id)),
    deadlineMs: interaction.deadlineMs,
    usesLeft: interaction.usesLeft,
    sizeLimit: interaction.sizeLimit,
    state: "pending",
    route: "token",
    dueAtMs: createdAtMs + FIRST_EDIT_MS,
    version: 0,
    failures: 0,
    shown: "",
    sentAtMs: null,
    lastError: null,
    createdAtMs,
  } as const;
  try {
    const { answer } = await createClip(ports, bearer, request, `${platform}-${id}`, {
      along: (clips) =>
        clips.flatMap((clip) => [
          ...countChatOrder(ports.db, link, { channelId, userId }, utcDay(clip.createdAtMs), clip.priceMicros),
          insertReply(ports.db, { ...reply, clipId: clip.id }),
        ]),
    });
    await wakeLanes(ports, [lane]);
    return clipSchema.parse(JSON.parse(answer));
  } catch (error) {
    throw refusalOf(link, error) ?? error;
  }
}

/** By the constraint that aborted the order's batch (decision 0042); null if it was none of ours. */
function refusalOf(link: ChatLinkRow, error: unknown): ChatRefusal | null {
  const money = (cap: ChatLinkRow["userDailyCapMicros"]) => (cap === null ? "nothing" : formatDollars(cap));
  const until = "it is counted anew at midnight UTC.";
  const constraint = violatedConstraint(error);
  if (constraint === null) return null;
  switch (constraint) {
    case "chat_channel_clips":
      return new ChatRefusal(`This channel may order ${link.channelDailyClips} clips a day; ${until}`);
    case "chat_user_clips":
      return new ChatRefusal(`You may order ${link.userDailyClips} clips a day here; ${until}`);
    case "chat_channel_cap":
      return new ChatRefusal(`This channel may spend ${money(link.channelDailyCapMicros)} a day; ${until}`);
    case "chat_user_cap":
      return new ChatRefusal(`You may spend ${money(link.userDailyCapMicros)} a day here; ${until}`);
    default:
      return null;
  }
}
