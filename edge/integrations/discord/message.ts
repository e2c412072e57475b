// A clip as a message: how it stands, what it is, what it costs, and what can be done with it.
import type {
  APIActionRowComponent,
  APIButtonComponent,
  APIEmbed,
  RESTPatchAPIWebhookWithTokenMessageJSONBody,
} from "discord-api-types/v10";
import type { Clip } from "../../../shared/contract/clips.ts";
import { findModel, MODELS, type ModelSpec, parseSize, resolutionOf, type Size } from "../../../shared/models.ts";
import { formatDollars, type Micros, micros, priceOf } from "../../../shared/pricing.ts";
import { isTerminal } from "../../../shared/states.ts";
import { ACTION_ROW, BUTTON, DANGER, PRIMARY, SECONDARY } from "./wire.ts";

/** Of an embed's 4,096; a prompt is there to be recognised. */
const PROMPT_CHARACTERS = 500;
export const FILE_NAME = "clip.mp4";

export type ClipAction = "again" | "hd" | "cancel";
/** What a message holds beside its attachment; the same for edits and new ones. */
export type ClipMessage = Pick<
  RESTPatchAPIWebhookWithTokenMessageJSONBody,
  "content" | "embeds" | "components" | "attachments" | "allowed_mentions"
>;

export interface HighDefinition {
  readonly model: ModelSpec;
  readonly size: Size;
  readonly priceMicros: Micros;
}

/** The same clip at 720p: by its own model, or else that model's 720p sister, in the size of the nearest shape. */
export function highDefinitionOf(clip: Clip): HighDefinition | null {
  if (resolutionOf(clip.size as Size) === "720p") return null;
  const { width, height } = parseSize(clip.size as Size);
  const shape = (size: Size) => Math.log((parseSize(size).width * height) / (parseSize(size).height * width));
  const candidates = [findModel(clip.model), MODELS.find(({ id }) => id === clip.model.replace(/480p$/, "720p"))];
  for (const model of candidates) {
    const sizes = model?.sizes.filter((size) => resolutionOf(size) === "720p") ?? [];
    const [size] = sizes.toSorted((a, b) => Math.abs(shape(a)) - Math.abs(shape(b)));
    if (model === undefined || size === undefined || clip.frames > model.maxFrames) continue;
    return { model, size, priceMicros: priceOf(model, size, clip.frames) };
  }
  return null;
}

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

/** One line; of a finished clip with the link where it is not attached. */
export function statusLine(clip: Clip, attached: boolean): string {
  switch (clip.state) {
    case "queued":
      return clip.queue === null ? "Waiting in the queue." : `Waiting in the queue, at place ${clip.queue.position}.`;
    case "running": {
      const { stage, step, steps } = clip.progress ?? { stage: "load", step: 0, steps: 0 };
      return `Being made: ${stage.replace("_", " ")}${steps > 0 ? `, step ${step} of ${steps}` : ""}.`;
    }
    case "succeeded": {
      const cost = `It cost ${formatDollars(micros(clip.charged_micros))}.`;
      if (attached) return `Your clip is ready. ${cost}`;
      if (clip.output === null) return `Your clip was made, but its files are no longer kept. ${cost}`;
      return `Your clip is ready: [watch it](${clip.output.mp4.url}) (for an hour; \`/clip-status\` links anew). ${cost}`;
    }
    case "failed":
      return `The clip failed (${clip.error?.code ?? "internal"}) and cost nothing.`;
    case "cancelled":
      return "The clip was cancelled and cost nothing.";
    case "expired":
      return "The clip was not started in time and cost nothing.";
  }
}

function embedOf(clip: Clip, attached: boolean): APIEmbed {
  const { prompt } = clip;
  const description = prompt.length > PROMPT_CHARACTERS ? `${prompt.slice(0, PROMPT_CHARACTERS - 1)}…` : prompt;
  const price = formatDollars(micros(clip.price_micros));
  const linked = clip.output !== null && !attached ? { image: { url: clip.output.poster.url } } : {};
  return {
    description: description.toWellFormed(),
    footer: { text: `${clip.model} · ${clip.size} · seed ${clip.seed} · ${price} · ${clip.id}` },
    ...linked,
  };
}

/** `attached`: the MP4 goes with it as files[0]. No text of ours or of the prompt ever mentions anybody. */
export function clipMessage(clip: Clip, attached: boolean): ClipMessage {
  return {
    content: statusLine(clip, attached),
    embeds: [embedOf(clip, attached)],
    components: buttonsOf(clip),
    attachments: attached ? [{ id: 0, filename: FILE_NAME }] : [],
    allowed_mentions: { parse: [] },
  };
}

/** For who asks after the token's time is over: the answer comes as a message of its own. */
export function lateMessage(clip: Clip): ClipMessage {
  const content = `${statusLine(clip, false)} It takes long; you will be told by a new message when it has ended.`;
  return { ...clipMessage(clip, false), content };
}

export const DELETED: ClipMessage = {
  content: "The clip was deleted by the owner of the account.",
  embeds: [],
  components: [],
  attachments: [],
  allowed_mentions: { parse: [] },
};
