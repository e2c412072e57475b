// What is said about a clip in any chat; the platform's adapter gives it its form.

import type { Balance } from "../../../shared/contract/balance.ts";
import type { Clip } from "../../../shared/contract/clips.ts";
import { formatDollars, micros } from "../../../shared/pricing.ts";

/** A prompt is there to be recognised. */
const PROMPT_CHARACTERS = 500;
/** How the platform writes a link; null where the file is shown beside the line. */
export type WriteLink = ((url: string, label: string) => string) | null;

/** `statusCommand`: what gives a fresh link once this one has expired. */
export function statusLine(clip: Clip, link: WriteLink, statusCommand: string): string {
  switch (clip.state) {
    case "queued":
      return clip.queue === null ? "Waiting in the queue." : `Waiting in the queue, at place ${clip.queue.position}.`;
    case "running": {
      const { stage, step, steps } = clip.progress ?? { stage: "load", step: 0, steps: 0 };
      return `Being made: ${stage.replace("_", " ")}${steps > 0 ? `, step ${step} of ${steps}` : ""}.`;
    }
    case "succeeded": {
      const cost = `It cost ${formatDollars(micros(clip.charged_micros))}.`;
      if (link === null) return `Your clip is ready. ${cost}`;
      if (clip.output === null) return `Your clip was made, but its files are no longer kept. ${cost}`;
      const watch = link(clip.output.mp4.url, "watch it");
      return `Your clip is ready: ${watch} (for an hour; \`${statusCommand}\` links anew). ${cost}`;
    }
    case "failed":
      return `The clip failed (${clip.error?.code ?? "internal"}) and cost nothing.`;
    case "cancelled":
      return "The clip was cancelled and cost nothing.";
    case "expired":
      return "The clip was not started in time and cost nothing.";
  }
}

/** For who asks after the token's time is over: the answer comes as a message of its own. */
export const LATE = "It takes long; you will be told by a new message when it has ended.";
export const DELETED = "The clip was deleted by the owner of the account.";
export const NO_CLIPS = "You have ordered no clip here yet; `/clip` does.";

export function promptStart({ prompt }: Clip): string {
  const start = prompt.length > PROMPT_CHARACTERS ? `${prompt.slice(0, PROMPT_CHARACTERS - 1)}…` : prompt;
  return start.toWellFormed();
}

/** What it is, to be made again by. */
export function describeClip(clip: Clip): string {
  return `${clip.model} · ${clip.size} · seed ${clip.seed} · ${formatDollars(micros(clip.price_micros))} · ${clip.id}`;
}

export function describeBalance(balance: Balance): string {
  const dollars = (amount: number) => formatDollars(micros(amount));
  return (
    `${dollars(balance.available_micros)} can be spent; ` +
    `${dollars(balance.pending_micros)} are held for clips under way.`
  );
}
