// What Slack tells of by its Events API. It tells again (X-Slack-Retry-Num) what it thinks we have not heard; each event
// may come twice, late, or out of order, and changes nothing the second time (decision 0105).
// https://docs.slack.dev/apis/events-api
import { leavePlace } from "../../services/chats/installations.ts";
import { publishHome } from "./home.ts";
import { type Answering, workspace } from "./people.ts";
import type { HeardEvent } from "./wire.ts";

/** Events carry whole seconds: all of that second is before what it tells of. */
const SECOND_MS = 1_000;

export async function hearEvent(answering: Answering, told: HeardEvent): Promise<void> {
  const { event, team_id: teamId } = told;
  switch (event.type) {
    case "app_home_opened":
      if (event.tab === "home") await publishHome(answering, teamId, event.user);
      return;
    case "tokens_revoked":
      // Its ids are of users; a workspace has one token of the bot.
      if (event.tokens.bot.length === 0) return;
      break;
    case "app_uninstalled":
      break;
  }
  await leavePlace(answering.ports, workspace(teamId), (told.event_time + 1) * SECOND_MS - 1);
}
