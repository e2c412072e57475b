// A Slack workspace and one deployment: the real services and Outbox code against the double, with a clock that tests move.
import { answerInteraction } from "../../../edge/integrations/slack/actions.ts";
import { slackApi } from "../../../edge/integrations/slack/api.ts";
import type { SlackApplication } from "../../../edge/integrations/slack/application.ts";
import { answerCommand } from "../../../edge/integrations/slack/commands.ts";
import { slackAdapter } from "../../../edge/integrations/slack/deliver.ts";
import { hearEvent } from "../../../edge/integrations/slack/events.ts";
import { askToInstall, finishInstall, type Returned } from "../../../edge/integrations/slack/oauth.ts";
import type { Answering } from "../../../edge/integrations/slack/people.ts";
import {
  commandSchema,
  eventSchema,
  type HeardEvent,
  interactionSchema,
} from "../../../edge/integrations/slack/wire.ts";
import { deliverReplies } from "../../../edge/services/chats/deliver.ts";
import { createLink, redeemCode } from "../../../edge/services/chats/links.ts";
import { laneOf } from "../../../edge/services/chats/order.ts";
import { verifyKey } from "../../../edge/services/keys/verify.ts";
import { completeAttempt } from "../../../edge/services/leases/complete.ts";
import type { ChangeChatLink } from "../../../shared/contract/chats.ts";
import type { AccountId } from "../../../shared/ids.ts";
import { type Seen, SlackDouble, type Who } from "../../support/slack/double.ts";
import { env } from "./env.ts";
import type { flakyDatabase } from "./flaky.ts";
import { RecordingOutboxes } from "./receivers.ts";
import { completion, freshDeployment, World } from "./world.ts";

/** The end of a command that orders the demo model's clip. */
export const DEMO_OPTION = "model=turboclip-demo";

export class Workspace {
  readonly outboxes = new RecordingOutboxes();
  readonly world: World;
  readonly slack: SlackDouble;
  readonly account: AccountId;

  private constructor(world: World, slack: SlackDouble, account: AccountId, outboxes: RecordingOutboxes) {
    this.world = world;
    this.slack = slack;
    this.account = account;
    this.outboxes = outboxes;
  }

  /** Neither installed nor linked. */
  static async open(flaky: ReturnType<typeof flakyDatabase>): Promise<Workspace> {
    await freshDeployment();
    const outboxes = new RecordingOutboxes();
    const world = new World({ db: flaky.db, outboxes });
    const slack = new SlackDouble("https://slack.test", () => world.nowMs);
    return new Workspace(world, slack, await world.account(), outboxes);
  }

  get application(): SlackApplication {
    const { clientId, clientSecret, signingSecret, origin } = this.slack;
    return { clientId, clientSecret, signingSecret, apiUrl: `${origin}/api` };
  }

  get answering(): Answering {
    return { ports: this.world.ports, api: this.api() };
  }

  /** `around`: what happens on the way, after Slack has answered. */
  api(around: (request: Request, answer: Response) => Promise<Response> = async (_, answer) => answer) {
    return slackApi(this.application, async (request) => await around(request, await this.slack.handle(request)));
  }

  get #place() {
    return { platform: "slack", placeId: this.slack.teamId } as const;
  }

  /** What a browser comes back with that asked, and was allowed, to install the app. */
  async allowed(): Promise<Returned> {
    const { url, nonce } = await askToInstall(this.world.ports, this.application);
    return { code: this.slack.code, state: new URL(url).searchParams.get("state") ?? "", nonce };
  }

  async install(wrong: Partial<Returned> = {}): Promise<string> {
    return await finishInstall(this.answering, { ...(await this.allowed()), ...wrong });
  }

  async code(rules: ChangeChatLink = {}): Promise<string> {
    const bearer = await verifyKey(this.world.ports, await this.world.key(this.account));
    return (await createLink(this.world.ports, bearer, { platform: "slack", ...rules })).code;
  }

  async link(rules: ChangeChatLink = {}): Promise<void> {
    await redeemCode(this.world.ports, this.#place, this.slack.userId, await this.code(rules));
  }

  /** What `/clip text` is answered, to whoever typed it alone. */
  async type(text: string, who: Who = {}): Promise<string> {
    await this.tell(this.slack.command(text, who));
    return this.slack.seen.at(-1)?.text ?? "";
  }

  /** A command's whole body. */
  async tell(body: string): Promise<void> {
    const command = commandSchema.parse(Object.fromEntries(new URLSearchParams(body)));
    await this.slack.deliver(body, async () =>
      Response.json({ ...(await answerCommand(this.answering, command)), response_type: "ephemeral" }),
    );
  }

  async interact(body: string): Promise<void> {
    const payload: unknown = JSON.parse(new URLSearchParams(body).get("payload") ?? "");
    await this.slack.deliver(body, async () => {
      await answerInteraction(this.answering, interactionSchema.parse(payload));
      return new Response(null);
    });
  }

  async hear(event: Readonly<Record<string, unknown>>, atMs?: number): Promise<void> {
    const heard = eventSchema.parse(JSON.parse(this.slack.event(event, atMs))) as HeardEvent;
    await hearEvent(this.answering, heard);
  }

  /** One alarm of the workspace's Outbox. */
  async alarm(api = this.api()): Promise<number | null> {
    const lane = laneOf(this.#place);
    return await deliverReplies(this.world.ports, slackAdapter(this.world.ports, api, lane), lane);
  }

  /** Alarms, each at its time, until nothing is due before an event. */
  async alarms(max = 50): Promise<void> {
    for (let i = 0; i < max; i++) {
      const next = await this.alarm();
      if (next === null) return;
      this.world.nowMs = Math.max(this.world.nowMs, next);
    }
    throw new Error(`something is still due after ${max} alarms`);
  }

  async run() {
    const { claim, ref } = await this.world.start(await this.world.runner());
    return { claim, ref };
  }

  async finish({ claim, ref }: Awaited<ReturnType<Workspace["run"]>>): Promise<void> {
    await this.world.upload(claim);
    await completeAttempt(this.world.ports, ref, await completion());
  }

  async replies() {
    const columns = "state, route, token, uses_left, last_error";
    return (await env.DB.prepare(`select ${columns} from chat_replies`).all()).results;
  }

  /** The messages that have files. */
  posted(): Seen[] {
    return this.slack.seen.filter(({ by }) => by === "files");
  }

  /** What was said after the acknowledgement. */
  told(): Seen[] {
    return this.slack.seen.filter(({ by }) => by === "response_url" || by === "bot");
  }
}

export function buttonsOf(seen: Seen | undefined): string[] {
  const actions = seen?.blocks.filter((block) => block.type === "actions") ?? [];
  return actions.flatMap(({ elements }) => elements.map(({ text }) => text.text));
}
