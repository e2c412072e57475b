// The acknowledgement of Slack's commands.
import type { Edge } from "../scripts/local/edge.ts";
import { startSlack } from "../test/support/slack/server.ts";
import { post, timeAcknowledgements } from "./acknowledgement.ts";
import type { Result } from "./table.ts";

const FORM = { "content-type": "application/x-www-form-urlencoded" };

/** As the browser of somebody who lets the app in. */
async function install(edge: Edge, code: string): Promise<void> {
  const base = `${edge.origin}/integrations/slack`;
  const asked = await fetch(`${base}/install`, { redirect: "manual" });
  const state = new URL(asked.headers.get("location") ?? "").searchParams.get("state") ?? "";
  const cookie = asked.headers.get("set-cookie")?.split(";")[0] ?? "";
  const back = new URLSearchParams({ code, state });
  const done = await fetch(`${base}/oauth?${back.toString()}`, { headers: { cookie } });
  if (!done.ok) throw new Error(`the app was not installed: ${await done.text()}`);
}

export async function slackAcknowledgement(): Promise<Result> {
  const { slack, close } = await startSlack();

  /** Milliseconds until the answer is read. Throws unless it begins so. */
  async function tell(edge: Edge, command: string, userId: string, beginning: string): Promise<number> {
    let sentMs = 0;
    const answer = await slack.deliver(slack.command(command, { userId }), async (headers, text) => {
      sentMs = performance.now();
      return await post(`${edge.origin}/integrations/slack/commands`, { ...headers, ...FORM }, text);
    });
    const tookMs = performance.now() - sentMs;
    const { text } = (await answer.json()) as { text: string };
    if (!text.startsWith(beginning)) throw new Error(`a command was answered ${JSON.stringify(text)}`);
    return tookMs;
  }

  return await timeAcknowledgements("slack", {
    settings: slack.settings,
    close,
    async link(edge, issueCode) {
      await install(edge, slack.code);
      await tell(edge, `link ${await issueCode()}`, slack.installer, "This workspace is linked.");
    },
    order: async (edge) => await tell(edge, "waves at dusk model=turboclip-demo", slack.userId, "Ordered for"),
  });
}
