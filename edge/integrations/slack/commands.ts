// What `/clip` is answered. Within Slack's three seconds only what is short is done here: an order is committed with the
// reply that it is owed, and the Outbox does the rest.
import type { CreateClip } from "../../../shared/contract/clips.ts";
import { ApiError } from "../../../shared/errors.ts";
import { clipsAskedFor, orderOf } from "../../services/chats/clips.ts";
import { redeemCode } from "../../services/chats/links.ts";
import { type Interaction, orderInChat } from "../../services/chats/order.ts";
import { ChatRefusal, openPlace } from "../../services/chats/place.ts";
import { describeBalance, NO_CLIPS } from "../../services/chats/words.ts";
import { requireScopeOf } from "../../services/keys/scope.ts";
import { getBalance } from "../../services/money/balance.ts";
import { lineOf, orderedMessage, plainMessage, type SlackMessage } from "./message.ts";
import { type Answering, requireManager, workspace } from "./people.ts";
import { escapeText, type SlackCommand, unescapeText } from "./wire.ts";

/** Of the 30 minutes that a response_url is good for, less what its way to us and back may take. */
const URL_MS = 30 * 60_000 - 10_000;
/** https://docs.slack.dev/interactivity/handling-user-interaction#message_responses */
const URL_USES = 5;
/** Four of them may lie in the memory of an Outbox at once; what is larger is linked. */
export const FILE_BYTES = 20 * 1024 * 1024;

export const HELP = [
  "*turboclip* makes short videos from text.",
  "`/clip a red ball rolls` orders one; `model=…`, `size=…` and `seed=…` at the end are yours to choose. The reply says " +
    "what it costs.",
  "`/clip status` shows your last clips, with fresh links. The buttons below a clip make it again or cancel it.",
  "`/clip balance` shows what the linked account can spend, `/clip link code` links a workspace; both are for who " +
    "installed turboclip and for admins.",
].join("\n");

export type Wanted =
  | { readonly verb: "help" | "balance" }
  | { readonly verb: "status"; readonly clip?: string }
  | { readonly verb: "link"; readonly code: string }
  | { readonly verb: "clip"; readonly prompt: string; readonly options: Readonly<Record<string, string>> };

const OPTION = /\s(model|size|seed)=(\S+)$/;

/** A verb is one only where nothing follows that could be a prompt's: `/clip balance on a wire` orders a clip. */
export function parseCommand(text: string): Wanted {
  const words = unescapeText(text).trim();
  if (words === "" || words === "help") return { verb: "help" };
  if (words === "balance") return { verb: "balance" };
  if (words === "status") return { verb: "status" };
  const [, clip] = /^status\s+(clip_\w+)$/.exec(words) ?? [];
  if (clip !== undefined) return { verb: "status", clip };
  const [, code] = /^link\s+(\w{16,64})$/.exec(words) ?? [];
  if (code !== undefined) return { verb: "link", code };
  const options: Record<string, string> = {};
  let prompt = ` ${words}`;
  for (let match = OPTION.exec(prompt); match !== null; match = OPTION.exec(prompt)) {
    options[match[1] ?? ""] ??= match[2] ?? "";
    prompt = prompt.slice(0, match.index).trimEnd();
  }
  return { verb: "clip", prompt: prompt.trim(), options };
}

/** Refusals are for the eyes of whoever asked; whatever else is thrown is the deployment's fault and shown as such. */
export async function orRefusal(answer: () => Promise<SlackMessage>): Promise<SlackMessage> {
  try {
    return await answer();
  } catch (error) {
    if (error instanceof ChatRefusal || error instanceof ApiError) return plainMessage(escapeText(error.message));
    throw error;
  }
}

export async function answerCommand(answering: Answering, command: SlackCommand): Promise<SlackMessage> {
  return await orRefusal(async () => await obey(answering, command, parseCommand(command.text)));
}

async function obey(answering: Answering, command: SlackCommand, wanted: Wanted): Promise<SlackMessage> {
  const { ports } = answering;
  const { team_id: teamId, user_id: userId } = command;
  const place = workspace(teamId);
  switch (wanted.verb) {
    case "help":
      return plainMessage(HELP);
    case "link": {
      await requireManager(answering, teamId, userId);
      await redeemCode(ports, place, userId, wanted.code);
      return plainMessage(
        "This workspace is linked. `/clip` orders from now on, and the account that gave the code pays.",
      );
    }
    case "balance": {
      await requireManager(answering, teamId, userId);
      const { bearer } = await openPlace(ports, place);
      requireScopeOf(bearer, "billing:read");
      return plainMessage(describeBalance(await getBalance(ports, bearer.accountId)));
    }
    case "status": {
      const clips = await clipsAskedFor(ports, await openPlace(ports, place), userId, wanted.clip);
      if (clips.length === 0) return plainMessage(NO_CLIPS);
      return plainMessage(clips.map((clip) => `\`${clip.id}\` ${lineOf(clip, false)}`).join("\n"));
    }
    case "clip": {
      const { seed, ...options } = wanted.options;
      const request = orderOf({ prompt: wanted.prompt, ...options, ...(seed !== undefined && { seed: seedOf(seed) }) });
      return orderedMessage(await order(answering, { ...command, shown: "queued" }, request));
    }
  }
}

function seedOf(text: string): number {
  if (!/^\d{1,16}$/.test(text)) throw new ChatRefusal(`\`seed\` must be a whole number, not \`${text}\`.`);
  return Number(text);
}

export type Occasion = Pick<SlackCommand, "team_id" | "channel_id" | "user_id" | "trigger_id" | "response_url"> &
  Pick<Interaction, "shown">;

/** By whoever typed or pressed it. A `trigger_id` orders once. */
export async function order({ ports }: Answering, occasion: Occasion, request: CreateClip) {
  const place = workspace(occasion.team_id);
  const interaction: Interaction = {
    ...place,
    id: occasion.trigger_id,
    channelId: occasion.channel_id,
    userId: occasion.user_id,
    roles: [],
    token: occasion.response_url,
    deadlineMs: ports.clock.now() + URL_MS,
    usesLeft: URL_USES,
    sizeLimit: FILE_BYTES,
    shown: occasion.shown,
  };
  return await orderInChat(ports, await openPlace(ports, place), interaction, request);
}
