// The acknowledgement of Discord's commands.
import type { Edge } from "../scripts/local/edge.ts";
import { startDiscord } from "../test/support/discord/server.ts";
import { post, timeAcknowledgements } from "./acknowledgement.ts";
import type { Result } from "./table.ts";

export async function discordAcknowledgement(): Promise<Result> {
  const { discord, settings, close } = await startDiscord();

  /** Milliseconds until the answer is read. Throws unless it is of the type that is expected. */
  async function tell(edge: Edge, data: object, permissions: string, type: number): Promise<number> {
    const { body } = discord.interaction({ type: 2, data, permissions });
    let sentMs = 0;
    const answer = await discord.deliver(body, async (headers, text) => {
      sentMs = performance.now();
      return await post(`${edge.origin}/integrations/discord/interactions`, headers, text);
    });
    const tookMs = performance.now() - sentMs;
    if (answer.type !== type) throw new Error(`a command was answered ${JSON.stringify(answer)}`);
    return tookMs;
  }

  const options = [
    { name: "prompt", value: "waves at dusk" },
    { name: "model", value: "turboclip-demo" },
  ];
  return await timeAcknowledgements("discord", {
    settings,
    close,
    async link(edge, issueCode) {
      const data = { name: "turboclip-link", options: [{ name: "code", value: await issueCode() }] };
      await tell(edge, data, "32", 4);
    },
    order: async (edge) => await tell(edge, { name: "clip", options }, "0", 5),
  });
}
