// What Slack takes in a message and a view, as strictly as its pages say, and checked against its published types.
import type { HomeView, KnownBlock } from "@slack/types";
import * as z from "zod";

/** A schema that takes no more than the published type; one that does is no argument of this. */
function published<T>(): <S extends z.ZodType<T>>(schema: S) => S {
  return (schema) => schema;
}

/** https://docs.slack.dev/reference/block-kit/composition-objects/text-object */
const plain = (max: number) =>
  z.strictObject({
    type: z.literal("plain_text"),
    text: z.string().min(1).max(max),
    emoji: z.boolean().exactOptional(),
  });
const mrkdwn = (max: number) => z.strictObject({ type: z.literal("mrkdwn"), text: z.string().min(1).max(max) });

/** https://docs.slack.dev/reference/block-kit/block-elements/button-element */
const button = z.strictObject({
  type: z.literal("button"),
  action_id: z.string().min(1).max(255),
  value: z.string().max(2_000),
  text: plain(75),
  style: z.enum(["primary", "danger"]).exactOptional(),
});

const block = published<KnownBlock>()(
  z.discriminatedUnion("type", [
    /** https://docs.slack.dev/reference/block-kit/blocks/section-block */
    z.strictObject({ type: z.literal("section"), text: z.union([plain(3_000), mrkdwn(3_000)]) }),
    /** https://docs.slack.dev/reference/block-kit/blocks/context-block */
    z.strictObject({ type: z.literal("context"), elements: z.array(plain(2_000)).min(1).max(10) }),
    /** https://docs.slack.dev/reference/block-kit/blocks/actions-block */
    z.strictObject({ type: z.literal("actions"), elements: z.array(button).min(1).max(25) }),
    /** https://docs.slack.dev/reference/block-kit/blocks/header-block */
    z.strictObject({ type: z.literal("header"), text: plain(150) }),
    z.strictObject({ type: z.literal("divider") }),
  ]),
);
/** https://docs.slack.dev/reference/block-kit/blocks */
export const blocksSchema = z.array(block).min(1).max(50);

/** https://docs.slack.dev/interactivity/handling-user-interaction#message_responses */
export const responseSchema = z.strictObject({
  text: z.string().min(1).max(40_000),
  blocks: blocksSchema,
  response_type: z.enum(["ephemeral", "in_channel"]),
  replace_original: z.literal(false).optional(),
});

const json = <T extends z.ZodType>(schema: T) =>
  z
    .string()
    .transform((text) => JSON.parse(text) as unknown)
    .pipe(schema);

/** https://docs.slack.dev/reference/methods/chat.postMessage */
export const postSchema = z.strictObject({
  channel: z.string(),
  text: z.string().min(1).max(40_000),
  blocks: json(blocksSchema),
  unfurl_links: z.enum(["true", "false"]).optional(),
});
/** https://docs.slack.dev/reference/methods/files.getUploadURLExternal */
export const startUploadSchema = z.strictObject({
  filename: z.string().min(1),
  length: z.coerce.number<string>().int().min(1),
});
/** https://docs.slack.dev/reference/methods/files.completeUploadExternal */
export const completeUploadSchema = z.strictObject({
  files: json(z.array(z.strictObject({ id: z.string() })).min(1)),
  channel_id: z.string(),
  initial_comment: z.string(),
});
/** https://docs.slack.dev/reference/methods/views.publish; a Home tab has up to 100 blocks. */
export const publishSchema = z.strictObject({
  user_id: z.string(),
  view: json(
    published<HomeView>()(z.strictObject({ type: z.literal("home"), blocks: z.array(block).min(1).max(100) })),
  ),
});
/** https://docs.slack.dev/reference/methods/oauth.v2.access */
export const accessSchema = z.strictObject({ code: z.string(), redirect_uri: z.url() });
export const fileInfoSchema = z.strictObject({ file: z.string() });
export const userInfoSchema = z.strictObject({ user: z.string() });

export type Blocks = z.output<typeof blocksSchema>;
export type Home = z.output<typeof publishSchema>["view"];
