// A clip as a message of Block Kit: how it stands, what it is, what it costs, and what can be done with it.
// https://docs.slack.dev/reference/block-kit/blocks
import type { ActionsBlock, Button, ContextBlock, KnownBlock, SectionBlock } from "@slack/types";
import type { Clip } from "../../../shared/contract/clips.ts";
import { formatDollars, micros } from "../../../shared/pricing.ts";
import { isTerminal } from "../../../shared/states.ts";
import { type ClipAction, highDefinitionOf } from "../../services/chats/clips.ts";
import { WORDS } from "../../services/chats/place.ts";
import { DELETED, describeClip, LATE, promptStart, statusLine } from "../../services/chats/words.ts";
import { escapeText } from "./wire.ts";

export interface SlackMessage {
  /** What notifications and screen readers show. */
  readonly text: string;
  readonly blocks: readonly KnownBlock[];
}

export function section(mrkdwn: string): SectionBlock {
  return { type: "section", text: { type: "mrkdwn", text: mrkdwn } };
}

/** Plain text is shown as it is: no prompt mentions anybody or links anywhere. */
function promptSection(clip: Clip): SectionBlock {
  return { type: "section", text: { type: "plain_text", text: promptStart(clip), emoji: false } };
}

function described(clip: Clip): ContextBlock {
  return { type: "context", elements: [{ type: "plain_text", text: describeClip(clip), emoji: false }] };
}

const mrkdwnLink = (url: string, label: string) => `<${escapeText(url)}|${label}>`;

/** One line; of a finished clip with the link where the file is not in the channel. */
export function lineOf(clip: Clip, posted: boolean): string {
  return statusLine(clip, posted ? null : mrkdwnLink, WORDS.slack.status);
}

function button(clip: Clip, action: ClipAction, label: string, style?: "primary" | "danger"): Button {
  const text = { type: "plain_text", text: label, emoji: false } as const;
  return { type: "button", action_id: action, value: clip.id, text, ...(style !== undefined && { style }) };
}

function buttonsOf(clip: Clip): ActionsBlock {
  if (!isTerminal(clip.state)) return { type: "actions", elements: [button(clip, "cancel", "Cancel", "danger")] };
  const hd = clip.state === "succeeded" ? highDefinitionOf(clip) : null;
  return {
    type: "actions",
    elements: [
      button(clip, "again", `Again · ${formatDollars(micros(clip.price_micros))}`, "primary"),
      ...(hd === null ? [] : [button(clip, "hd", `Again at 720p · ${formatDollars(hd.priceMicros)}`)]),
    ],
  };
}

/** For one line of ours, with whatever a person wrote in it escaped by the caller. */
export function plainMessage(mrkdwn: string): SlackMessage {
  return { text: mrkdwn, blocks: [section(mrkdwn)] };
}

export interface Showing {
  /** The clip's file is in the channel already. */
  readonly posted: boolean;
  /** There will be no more progress. */
  readonly late: boolean;
  /** The platform's id of whom the message mentions; null for nobody. */
  readonly mention: string | null;
}

export function clipMessage(clip: Clip | null, { posted, late, mention }: Showing): SlackMessage {
  const lead = mention === null ? "" : `<@${mention}> `;
  if (clip === null) return plainMessage(`${lead}${DELETED}`);
  const line = `${lead}${lineOf(clip, posted)}${late ? ` ${LATE}` : ""}`;
  return { text: line, blocks: [section(line), promptSection(clip), described(clip), buttonsOf(clip)] };
}

/** What a command is answered at once. */
export function orderedMessage(clip: Clip): SlackMessage {
  const { blocks } = clipMessage(clip, { posted: false, late: false, mention: null });
  const line = `Ordered for ${formatDollars(micros(clip.price_micros))}. ${lineOf(clip, false)}`;
  return { text: line, blocks: [section(line), ...blocks.slice(1)] };
}

/** The words beside the file in the channel. */
export function fileComment(clip: Clip, userId: string): string {
  return `<@${userId}> ${lineOf(clip, true)}\n${escapeText(promptStart(clip))}`;
}

/** As one of a list. */
export function buttonlessClip(clip: Clip): KnownBlock[] {
  return [section(lineOf(clip, false)), promptSection(clip), described(clip)];
}
