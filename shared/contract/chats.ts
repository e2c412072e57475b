// Links between chat platforms and accounts: who may order there, and how much of it.
import * as z from "zod";
import { idSchema } from "../ids.ts";

export const CHAT_PLATFORMS = ["discord", "slack"] as const;
export type ChatPlatform = (typeof CHAT_PLATFORMS)[number];

export const CHAT_LIMITS = {
  /** Links of one account that are not undone. */
  links: 100,
  /** Channels, and roles, of one link. */
  allowed: 50,
  /** Of what a platform sends: a message with all of its parts, twice encoded. */
  bodyBytes: 1024 * 1024,
  /** Seconds in which a code can be redeemed. */
  codeLifetime: 900,
} as const;

const time = z.iso.datetime();
/** Discord's snowflakes and Slack's ids alike. */
const platformId = z.string().regex(/^[A-Za-z0-9]{1,32}$/, "must be the platform's own id");
const allowed = z
  .array(platformId)
  .min(1)
  .max(CHAT_LIMITS.allowed)
  .refine((ids) => new Set(ids).size === ids.length, { error: "each at most once" })
  .nullable();

const cap = z.int().min(0).max(Number.MAX_SAFE_INTEGER).nullable();

const rules = {
  channels: allowed.meta({ description: "Channels in which clips may be ordered; null for all" }),
  roles: allowed.meta({
    description: "Roles of which a member needs one to order; null for none, as always for Slack, which has none",
  }),
  channel_daily_clips: cap.meta({ description: "Clips of one channel in one UTC day; null for no cap" }),
  channel_daily_cap_micros: cap.meta({
    description: "Micro-dollars that one channel may spend in one UTC day; null for no cap",
  }),
  user_daily_clips: cap.meta({ description: "Clips of one user in one UTC day; null for no cap" }),
  user_daily_cap_micros: cap.meta({
    description: "Micro-dollars that one user may spend in one UTC day; null for no cap",
  }),
};

export const chatLinkSchema = z
  .object({
    id: idSchema("link"),
    object: z.literal("chat_link"),
    platform: z.enum(CHAT_PLATFORMS),
    state: z.enum(["waiting", "linked", "expired"]).meta({ description: "Whether its code was redeemed" }),
    key_id: idSchema("key").meta({ description: "The key whose orders those of the chat are" }),
    place_id: z.string().nullable().meta({ description: "The platform's id of the server or workspace" }),
    ...rules,
    created_at: time,
    linked_at: time.nullable(),
    linked_by: z.string().nullable().meta({ description: "The platform's id of the user who redeemed the code" }),
  })
  .meta({ id: "ChatLink" });
export type ChatLink = z.infer<typeof chatLinkSchema>;

export const issuedChatLinkSchema = chatLinkSchema
  .extend({
    code: z.string().meta({ description: "To be redeemed once, in the chat; shown this once and kept nowhere" }),
    code_expires_at: time,
  })
  .meta({ id: "IssuedChatLink" });
export type IssuedChatLink = z.infer<typeof issuedChatLinkSchema>;

export const changeChatLinkSchema = z
  .strictObject(rules)
  .partial()
  .meta({ id: "ChangeChatLink", description: "What is left out stays as it is" });
export type ChangeChatLink = z.output<typeof changeChatLinkSchema>;

export const createChatLinkSchema = z
  .strictObject({ platform: z.enum(CHAT_PLATFORMS), ...changeChatLinkSchema.shape })
  .meta({ id: "CreateChatLink", description: "Rules that are left out are null" });
export type CreateChatLink = z.output<typeof createChatLinkSchema>;

export const chatLinkListSchema = z.object({ data: z.array(chatLinkSchema) }).meta({ id: "ChatLinkList" });
export type ChatLinkList = z.infer<typeof chatLinkListSchema>;
