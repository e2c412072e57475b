// The parts of what Slack sends that we read.
import * as z from "zod";
import { CLIP_ACTIONS } from "../../services/chats/clips.ts";

const id = z.string().regex(/^[A-Z0-9]{2,32}$/);
/** Names one thing that one person did. */
const triggerId = z.string().regex(/^[\w.-]{1,200}$/);
const responseUrl = z.url().max(1_000);

/** https://docs.slack.dev/interactivity/implementing-slash-commands#app_command_handling */
export const commandSchema = z.object({
  text: z.string().default(""),
  team_id: id,
  channel_id: id,
  user_id: id,
  trigger_id: triggerId,
  response_url: responseUrl,
});
export type SlackCommand = z.output<typeof commandSchema>;

export const SHORTCUT = "clip_from_message";

const interaction = {
  team: z.object({ id }),
  user: z.object({ id }),
  channel: z.object({ id }),
  trigger_id: triggerId,
  response_url: responseUrl,
};
/**
 * https://docs.slack.dev/reference/interaction-payloads/block_actions-payload
 * https://docs.slack.dev/reference/interaction-payloads/shortcuts-interaction-payload
 */
export const interactionSchema = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("block_actions"),
    ...interaction,
    actions: z.tuple([z.object({ action_id: z.enum(CLIP_ACTIONS), value: z.string() })]),
  }),
  z.object({
    type: z.literal("message_action"),
    ...interaction,
    callback_id: z.literal(SHORTCUT),
    message: z.object({ text: z.string().default("") }),
  }),
]);
export type SlackInteraction = z.output<typeof interactionSchema>;

const callback = { team_id: id, event_time: z.int().min(0) };
/** https://docs.slack.dev/apis/events-api#callback-field */
const heardSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("url_verification"), challenge: z.string().max(1_000) }),
  z.object({
    type: z.literal("event_callback"),
    ...callback,
    event: z.discriminatedUnion("type", [
      z.object({ type: z.literal("app_home_opened"), user: id, tab: z.string() }),
      z.object({ type: z.literal("app_uninstalled") }),
      z.object({ type: z.literal("tokens_revoked"), tokens: z.object({ bot: z.array(z.string()).default([]) }) }),
    ]),
  }),
]);
const HEARD = new Set(["url_verification", "app_home_opened", "app_uninstalled", "tokens_revoked"]);
/** Slack tells of more than we ask for, such as that it limits its events; all it wants is a 200. */
const otherSchema = z
  .object({ type: z.string(), event: z.object({ type: z.string() }).optional() })
  .refine(({ type, event }) => !HEARD.has(event?.type ?? type))
  .transform(() => ({ type: "other" }) as const);
export const eventSchema = z.union([heardSchema, otherSchema]);
export type HeardEvent = Extract<z.output<typeof heardSchema>, { type: "event_callback" }>;

/** In commands and messages. https://docs.slack.dev/messaging/formatting-message-text#escaping */
export function unescapeText(text: string): string {
  return text.replaceAll(/&(amp|lt|gt);/g, (_, name: string) => (name === "amp" ? "&" : name === "lt" ? "<" : ">"));
}

/** What people read of a message: of links their words, of mentions nothing. */
export function readableText(text: string): string {
  const words = text.replaceAll(
    /<([@#!]?)([^|>]*)(?:\|([^>]*))?>/g,
    (_, kind: string, target: string, label?: string) => {
      if (kind === "#") return label === undefined ? "" : `#${label}`;
      return kind === "" ? (label ?? target) : "";
    },
  );
  return unescapeText(words)
    .replaceAll(/[ \t]+/g, " ")
    .trim();
}

/** For mrkdwn, in which what is left of a person's words can mention nobody. */
export function escapeText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
