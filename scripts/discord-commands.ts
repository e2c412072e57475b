// Registers the commands with Discord: `node scripts/run.mjs discord-commands`. It replaces all global commands of the
// application (DISCORD_APPLICATION_ID, DISCORD_BOT_TOKEN), so running it again changes nothing.
// https://docs.discord.com/developers/interactions/application-commands#bulk-overwrite-global-application-commands
import { COMMANDS } from "../edge/integrations/discord/commands.ts";

const { DISCORD_APPLICATION_ID: id, DISCORD_BOT_TOKEN: token } = process.env;
const apiUrl = process.env.DISCORD_API_URL ?? "https://discord.com/api/v10";
if (id === undefined || token === undefined) {
  process.stderr.write(
    "set DISCORD_APPLICATION_ID and DISCORD_BOT_TOKEN, both from the application's pages at Discord\n",
  );
  process.exit(2);
}
const answer = await fetch(`${apiUrl}/applications/${id}/commands`, {
  method: "PUT",
  headers: { authorization: `Bot ${token}`, "content-type": "application/json" },
  body: JSON.stringify(COMMANDS),
  signal: AbortSignal.timeout(30_000),
});
if (!answer.ok) {
  process.stderr.write(`Discord answered ${answer.status}: ${await answer.text()}\n`);
  process.exit(1);
}
process.stdout.write(`registered ${COMMANDS.map(({ name }) => `/${name}`).join(", ")}\n`);
