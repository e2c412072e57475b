// A clip as a message: how it stands, what it is, what it costs, and what can be done with it.
import type {
  APIActionRowComponent,
  APIButtonComponent,
  APIEmbed,
  RESTPatchAPIWebhookWithTokenMessageJSONBody,
} from "discord-api-types/v10";
import type { Clip } from "../../../shared/contract/clips.ts";
import { formatDollars, micros } from "../../../shared/pricing.ts";
import { isTerminal } from "../../../shared/states.ts";
import { type ClipAction, highDefinitionOf } from "../../services/chats/clips.ts";
import { WORDS } from "../../services/chats/place.ts";
import { DELETED, describeClip, LATE, promptStart, statusLine } from "../../services/chats/words.ts";
import { ACTION_ROW, BUTTON, DANGER, PRIMARY, SECONDARY } from "./wire.ts";

export const FILE_NAME = "clip.mp4";

/** What a message holds beside its attachment; the same for edits and new ones. */
export type ClipMessage = Pick<
  RESTPatchAPIWebhookWithTokenMessageJSONBody,
  "content" | "embeds" | "components" | "attachments" | "allowed_mentions"
>;

function button(clip: Clip, action: ClipAction, label: string, style: APIButtonComponent["style"]): APIButtonComponent {
  return { type: BUTTON, style, label, custom_id: `${action}:${clip.id}` } as APIButtonComponent;
}

function buttonsOf(clip: Clip): APIActionRowComponent<APIButtonComponent>[] {
  const hd = clip.state === "succeeded" ? highDefinitionOf(clip) : null;
  const components = isTerminal(clip.state)
    ? [
        button(clip, "again", `Again · ${formatDollars(micros(clip.price_micros))}`, PRIMARY),
        ...(hd === null ? [] : [button(clip, "hd", `Again at 720p · ${formatDollars(hd.priceMicros)}`, SECONDARY)]),
      ]
    : [button(clip, "cancel", "Cancel", DANGER)];
  return [{ type: ACTION_ROW, components }];
}

const markdownLink = (url: string, label: string) => `[${label}](${url})`;

/** One line; of a finished clip with the link where it is not attached. */
export function lineOf(clip: Clip, attached: boolean): string {
  return statusLine(clip, attached ? null : markdownLink, WORDS.discord.status);
}

function embedOf(clip: Clip, attached: boolean): APIEmbed {
  const linked = clip.output !== null && !attached ? { image: { url: clip.output.poster.url } } : {};
  return { description: promptStart(clip), footer: { text: describeClip(clip) }, ...linked };
}

/** `attached`: the MP4 goes with it as files[0]. No text of ours or of the prompt ever mentions anybody. */
export function clipMessage(clip: Clip, attached: boolean): ClipMessage {
  return {
    content: lineOf(clip, attached),
    embeds: [embedOf(clip, attached)],
    components: buttonsOf(clip),
    attachments: attached ? [{ id: 0, filename: FILE_NAME }] : [],
    allowed_mentions: { parse: [] },
  };
}

export function lateMessage(clip: Clip): ClipMessage {
  return { ...clipMessage(clip, false), content: `${lineOf(clip, false)} ${LATE}` };
}

export const DELETED_MESSAGE: ClipMessage = {
  content: DELETED,
  embeds: [],
  components: [],
  attachments: [],
  allowed_mentions: { parse: [] },
};
