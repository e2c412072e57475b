// Buttons below a clip, and the shortcut on a message. Slack takes no words as their acknowledgement: an order's are its
// Outbox's, and a refusal goes by the response_url at once, or else as Slack's own error (decision 0104).
import { ApiError } from "../../../shared/errors.ts";
import { cancelInPlace, clipOfPlace, orderAgain, orderOf } from "../../services/chats/clips.ts";
import { ChatRefusal, openPlace } from "../../services/chats/place.ts";
import { order } from "./commands.ts";
import { plainMessage } from "./message.ts";
import { type Answering, manages, workspace } from "./people.ts";
import { escapeText, readableText, type SlackInteraction } from "./wire.ts";

export async function answerInteraction(answering: Answering, interaction: SlackInteraction): Promise<void> {
  try {
    await obey(answering, interaction);
  } catch (error) {
    if (!(error instanceof ChatRefusal || error instanceof ApiError)) throw error;
    const message = plainMessage(escapeText(error.message));
    const outcome = await answering.api.respond(interaction.response_url, message, "ephemeral");
    if (outcome.kind === "sent") return;
    answering.ports.log("warn", "a refusal did not reach Slack", { outcome: outcome.kind });
    // Without a 200 Slack itself shows an error to whoever pressed: better than nothing at all.
    // https://docs.slack.dev/interactivity/handling-user-interaction#acknowledgment_response
    throw new ApiError("internal", "The answer to this interaction could not be shown.");
  }
}

async function obey(answering: Answering, interaction: SlackInteraction): Promise<void> {
  const { ports } = answering;
  const { team, user, channel, trigger_id, response_url } = interaction;
  // Nothing is shown yet: the acknowledgement has no words.
  const occasion = {
    team_id: team.id,
    user_id: user.id,
    channel_id: channel.id,
    trigger_id,
    response_url,
    shown: "",
  };
  if (interaction.type === "message_action") {
    await order(answering, occasion, orderOf({ prompt: readableText(interaction.message.text) }));
    return;
  }
  const [{ action_id: action, value }] = interaction.actions;
  const linked = await openPlace(ports, workspace(team.id));
  const clip = await clipOfPlace(ports, linked, value);
  if (action !== "cancel") {
    await order(answering, occasion, orderAgain(clip, action));
    return;
  }
  await cancelInPlace(ports, linked, clip.id, {
    userId: user.id,
    manages: async () => await manages(answering, team.id, user.id),
  });
}
