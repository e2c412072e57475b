// What Discord takes in a message, as strictly as its pages say, and checked against its published types.
import type {
  RESTPatchAPIWebhookWithTokenMessageJSONBody,
  RESTPostAPIChannelMessageJSONBody,
  RESTPostAPICurrentUserCreateDMChannelJSONBody,
} from "discord-api-types/v10";
import * as z from "zod";

/** A schema that takes no more than the published type; one that does is no argument of this. */
function published<T>(): <S extends z.ZodType<T>>(schema: S) => S {
  return (schema) => schema;
}
/** Their enums are numbers on the wire. */
type Loose<T> = { [K in keyof T]: K extends "components" ? unknown : T[K] };

const snowflake = z.string().regex(/^\d{1,20}$/);

/** https://docs.discord.com/developers/resources/message#embed-object-embed-limits */
const embed = z.strictObject({
  description: z.string().max(4_096).exactOptional(),
  footer: z.strictObject({ text: z.string().max(2_048) }).exactOptional(),
  image: z.strictObject({ url: z.url() }).exactOptional(),
});

/** https://docs.discord.com/developers/components/reference#button */
const button = z.strictObject({
  type: z.literal(2),
  style: z.union([z.literal(1), z.literal(2), z.literal(3), z.literal(4)]),
  label: z.string().min(1).max(80),
  custom_id: z.string().min(1).max(100),
});
const row = z.strictObject({ type: z.literal(1), components: z.array(button).min(1).max(5) });

const message = {
  content: z.string().max(2_000).optional(),
  embeds: z.array(embed).max(10).optional(),
  components: z.array(row).max(5).optional(),
  attachments: z
    .array(z.strictObject({ id: z.int(), filename: z.string() }))
    .max(10)
    .optional(),
  allowed_mentions: z
    .strictObject({ parse: z.tuple([]).exactOptional(), users: z.array(snowflake).max(100).exactOptional() })
    .optional(),
};

/** https://docs.discord.com/developers/resources/webhook#edit-webhook-message */
export const editSchema = published<Loose<RESTPatchAPIWebhookWithTokenMessageJSONBody>>()(z.strictObject(message));
/** https://docs.discord.com/developers/resources/message#create-message */
export const createSchema = published<Loose<RESTPostAPIChannelMessageJSONBody>>()(
  z.strictObject({
    ...message,
    nonce: z.string().max(25).optional(),
    enforce_nonce: z.boolean().optional(),
  }),
);
/** https://docs.discord.com/developers/resources/user#create-dm */
export const directSchema = published<RESTPostAPICurrentUserCreateDMChannelJSONBody>()(
  z.strictObject({ recipient_id: snowflake }),
);

export type MessageBody = z.output<typeof createSchema>;

/** The sum of an answer's embed texts. https://docs.discord.com/developers/resources/message#embed-object-embed-limits */
export const MAX_EMBED_CHARACTERS = 6_000;
