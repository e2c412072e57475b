// What is owed to Slack arrives, whatever goes wrong on the way.
import { beforeEach, describe, expect, it } from "vitest";
import { FILE_TRIES, GIVE_UP_MS } from "../../../edge/services/chats/deliver.ts";
import { sweep } from "../../../edge/services/sweep.ts";
import { LOST_WAKE_MS } from "../../../edge/services/webhooks/wake.ts";
import { env } from "../support/env.ts";
import { flakyDatabase } from "../support/flaky.ts";
import { DEMO_OPTION, Workspace } from "../support/slack.ts";
import { FILES } from "../support/world.ts";

const MINUTE = 60_000;
const flaky = flakyDatabase();
let team: Workspace;

beforeEach(async () => {
  team = await Workspace.open(flaky);
});

describe("faults on the way", () => {
  beforeEach(async () => {
    await team.install();
    await team.link();
    await team.type(`a red ball ${DEMO_OPTION}`);
    await team.finish(await team.run());
    team.world.advance(2_000);
  });

  const deliveredOnce = async (route = "token") => {
    expect(team.posted().map(({ files }) => files)).toEqual([[FILES.mp4, FILES.poster]]);
    expect(await team.replies()).toMatchObject([{ state: "delivered", route, token: null }]);
  };

  it.each([
    ["500s", [{ status: 500 }, { status: 502 }, { status: 503 }]],
    ["timeouts", ["no answer", "no answer"]],
    ["answers that are lost", ["lost", "lost"]],
  ] as const)("does not stop at %s", async (_, faults) => {
    team.slack.faults.push(...faults);
    await team.alarms();
    await deliveredOnce();
    expect(team.told()).toHaveLength(1);
  });

  it("posts the files once though the answer to the posting was lost", async () => {
    await team.alarm(); // uploads both
    const lossy = team.api(async (request, answer) => {
      if (request.url.endsWith("/files.completeUploadExternal")) throw new TypeError("connection reset");
      return answer;
    });
    const next = await team.alarm(lossy);
    expect(team.posted()).toHaveLength(1);
    team.world.nowMs = next ?? 0;
    await team.alarms();
    await deliveredOnce();
  });

  it("does not post what it cannot look after", async () => {
    await team.alarm();
    team.slack.faults.push({ status: 500 }); // to files.info
    await team.alarm();
    expect(team.posted()).toEqual([]);
    team.world.advance(2_000);
    await team.alarms();
    await deliveredOnce();
  });

  it.each(["request", "answer"] as const)(
    "survives a restart between each of its steps and its record (%s lost)",
    async (loss) => {
      for (let step = 0; step < 3; step++) {
        flaky.lose(loss);
        await expect(team.alarm()).rejects.toThrow();
        if ((await team.replies())[0]?.state === "delivered") break;
        await team.alarm();
      }
      await team.alarms();
      await deliveredOnce();
    },
  );

  it("waits as long as a 429 says, and does not count it as a use", async () => {
    await team.alarm(); // uploads
    await team.alarm(); // posts
    team.slack.faults.push({ status: 429, retryAfterS: 7.5 });
    expect(await team.alarm()).toBe(team.world.nowMs + 7_500);
    expect(await team.replies()).toMatchObject([{ state: "pending", uses_left: 5 }]);
    team.world.advance(7_499);
    await team.alarm();
    expect(team.told()).toEqual([]);
    team.world.advance(1);
    await team.alarms();
    await deliveredOnce();
    expect(await team.replies()).toMatchObject([{ uses_left: 4 }]);
  });

  it("is woken by the sweep when the wake after the commit was lost", async () => {
    team.outboxes.woken.length = 0;
    team.world.advance(LOST_WAKE_MS);
    await sweep(team.world.ports);
    expect(team.outboxes.woken).toEqual([`slack:${team.slack.teamId}`]);
  });

  it("links in the channel where the bot is not in it", async () => {
    team.slack.joined.clear();
    await team.alarms();
    expect(team.posted()).toEqual([]);
    expect(team.told()).toMatchObject([
      { by: "response_url", only: null, text: expect.stringContaining("watch it") as unknown },
    ]);
    expect(await team.replies()).toMatchObject([{ state: "delivered" }]);
  });

  it("links where uploads go wrong again and again", async () => {
    team.slack.faults.push(...Array.from({ length: FILE_TRIES }, () => ({ status: 500 }) as const));
    await team.alarms();
    expect(team.told()).toMatchObject([{ only: null, text: expect.stringContaining("watch it") as unknown }]);
  });

  it("goes on by the bot once the response_url is over: in the channel, with a mention", async () => {
    team.world.advance(30 * MINUTE);
    await team.alarms();
    await deliveredOnce("channel");
    expect(team.told()).toMatchObject([
      {
        by: "bot",
        channelId: team.slack.channelId,
        text: `<@${team.slack.userId}> Your clip is ready. It cost $0.000408.`,
      },
    ]);
  });

  it("goes on as a direct message with a link where the bot is not in the channel either", async () => {
    team.world.advance(30 * MINUTE);
    team.slack.joined.clear();
    await team.alarms();
    expect(team.told()).toMatchObject([
      { by: "bot", channelId: team.slack.userId, text: expect.stringContaining("watch it") as unknown },
    ]);
  });

  it("ends as failed with its reason when no way is open, and the clip stays in /clip status", async () => {
    team.world.advance(30 * MINUTE);
    team.slack.tokenIsRevoked = true;
    await team.alarms();
    expect(await team.replies()).toMatchObject([
      { state: "failed", route: "direct", token: null, last_error: "chat.postMessage: token_revoked" },
    ]);
    expect(await team.type("status")).toContain("|watch it>");
  });

  it("uses a response_url five times and no more, whatever went wrong", async () => {
    await team.alarm();
    await team.alarm();
    team.slack.faults.push(...Array.from({ length: 5 }, () => ({ status: 503 }) as const));
    await team.alarms();
    expect(team.slack.requests.filter((name) => name === "fault 503")).toHaveLength(5);
    expect(team.told()).toMatchObject([{ by: "bot" }]);
    expect(await team.replies()).toMatchObject([{ state: "delivered", route: "channel", uses_left: 0 }]);
  });

  it("goes on by the bot where Slack has counted more uses than we", async () => {
    team.world.advance(10_000);
    team.slack.useUpResponseUrls();
    await team.alarms();
    await deliveredOnce("channel");
    expect(team.told()).toMatchObject([{ by: "bot" }]);
  });

  it("links where the bot's token is one that no key opens, until the app is installed anew", async () => {
    await env.DB.prepare("update chat_installations set token = 'k0.AAAA'").run();
    await team.alarms();
    expect(team.told()).toMatchObject([
      { by: "response_url", only: null, text: expect.stringContaining("watch it") as unknown },
    ]);
    expect(await team.type(`link ${await team.code()}`)).toContain("/integrations/slack/install");
  });

  it("is given up a day after the clip's end when Slack never answers", async () => {
    team.world.advance(GIVE_UP_MS);
    team.slack.faults.push(...Array.from({ length: 30 }, () => ({ status: 500 }) as const));
    await team.alarms();
    expect(await team.replies()).toMatchObject([{ state: "failed", last_error: "Slack answered 500" }]);
  });
});
