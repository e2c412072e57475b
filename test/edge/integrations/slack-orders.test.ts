// A clip from `/clip` to its files in the channel.
import { beforeEach, describe, expect, it } from "vitest";
import { FILE_BYTES } from "../../../edge/integrations/slack/commands.ts";
import { LAST_EDIT_MS } from "../../../edge/services/chats/deliver.ts";
import { deleteClip } from "../../../edge/services/clips/delete.ts";
import { failAttempt } from "../../../edge/services/leases/fail.ts";
import { getBalance } from "../../../edge/services/money/balance.ts";
import { sweep } from "../../../edge/services/sweep.ts";
import type { ChangeChatLink } from "../../../shared/contract/chats.ts";
import { env } from "../support/env.ts";
import { flakyDatabase } from "../support/flaky.ts";
import { expectInvariants } from "../support/invariants.ts";
import { countOf } from "../support/search.ts";
import { buttonsOf, DEMO_OPTION, Workspace } from "../support/slack.ts";
import { CLIP_PRICE, FILES } from "../support/world.ts";

const MINUTE = 60_000;
const flaky = flakyDatabase();
let team: Workspace;

beforeEach(async () => {
  team = await Workspace.open(flaky);
});

describe("an order", () => {
  beforeEach(async () => {
    await team.install();
    await team.link();
  });

  it("is acknowledged with its price, told of when it starts, and ends as one post of its files and its cost", async () => {
    expect(await team.type(`a red ball ${DEMO_OPTION}`)).toBe("Ordered for $0.000408. Waiting in the queue.");
    expect(buttonsOf(team.slack.seen.at(-1))).toEqual(["Cancel"]);
    team.world.advance(1_000);
    await team.alarm();
    expect(team.told()).toEqual([]); // the acknowledgement has said it all
    const attempt = await team.run();
    await team.alarm();
    expect(team.told().map(({ text, only }) => [text, only])).toEqual([["Being made: load.", team.slack.userId]]);
    await team.finish(attempt);
    await team.alarms();
    expect(team.posted()).toMatchObject([
      {
        channelId: team.slack.channelId,
        only: null,
        text: `<@${team.slack.userId}> Your clip is ready. It cost $0.000408.\na red ball`,
        files: [FILES.mp4, FILES.poster],
      },
    ]);
    expect(team.told().map(({ text, only }) => [text, only])).toEqual([
      ["Being made: load.", team.slack.userId],
      ["Your clip is ready. It cost $0.000408.", team.slack.userId],
    ]);
    expect(buttonsOf(team.slack.seen.at(-1))).toEqual(["Again · $0.000408"]);
    expect(await team.replies()).toEqual([
      { state: "delivered", route: "token", token: null, uses_left: 3, last_error: null },
    ]);
    await expectInvariants();
  });

  it("is ordered once when the same command comes twice", async () => {
    const body = team.slack.command(`a red ball ${DEMO_OPTION}`);
    await team.tell(body);
    await team.tell(body);
    expect(team.slack.seen.map(({ text }) => text)).toEqual([team.slack.seen[0]?.text, team.slack.seen[0]?.text]);
    expect((await getBalance(team.world.ports, team.account)).pending_micros).toBe(CLIP_PRICE);
    expect(await team.replies()).toHaveLength(1);
  });

  it("is committed with its reply or not at all", async () => {
    flaky.lose("request");
    await expect(team.type(`a red ball ${DEMO_OPTION}`)).rejects.toThrow();
    expect(await team.replies()).toEqual([]);
    expect(await getBalance(team.world.ports, team.account)).toMatchObject({ pending_micros: 0 });
  });

  it("mentions nobody and links nowhere by what a prompt says", async () => {
    await team.type(`<!channel> & <https://evil.test|here> ${DEMO_OPTION}`);
    await team.finish(await team.run());
    await team.alarms();
    expect(team.posted()[0]?.text).toContain("\n&lt;!channel&gt; &amp; &lt;https://evil.test|here&gt;");
    for (const { blocks } of team.slack.seen) {
      const formatted = blocks.flatMap((b) => (b.type === "section" && b.text.type === "mrkdwn" ? [b.text.text] : []));
      expect(formatted.join("\n")).not.toContain("evil");
    }
    const prompt = await env.DB.prepare("select prompt from clips").first();
    expect(prompt).toEqual({ prompt: "<!channel> & <https://evil.test|here>" });
  });

  it("keeps no response_url in the clear", async () => {
    const body = team.slack.command(`a red ball ${DEMO_OPTION}`);
    await team.tell(body);
    const { results } = await env.DB.prepare("select * from chat_replies").all();
    expect(JSON.stringify(results)).not.toContain(new URLSearchParams(body).get("response_url"));
  });

  it("leaves nothing of its prompt in the database or the bucket once its clip is deleted", async () => {
    const secret = "a very private turquoise elephant";
    await team.type(`${secret} ${DEMO_OPTION}`);
    const attempt = await team.run();
    await team.finish(attempt);
    team.slack.faults.push({ status: 500 });
    await team.alarms();
    expect(team.posted()).toHaveLength(1);
    expect((await countOf(secret)).inDatabase).toBeGreaterThan(0);
    await deleteClip(team.world.ports, team.account, attempt.claim.clip_id);
    expect(await countOf(secret)).toEqual({ inDatabase: 0, inBucket: 0 });
  });

  it("counts a use though the clip went on while it was sent", async () => {
    await team.type(`a red ball ${DEMO_OPTION}`);
    const { ref } = await team.run();
    const racing = team.api(async (_, answer) => {
      await failAttempt(team.world.ports, ref, { code: "engine_failed", retryable: false, message: "out of memory" });
      return answer;
    });
    await team.alarm(racing);
    expect(await team.replies()).toMatchObject([{ state: "pending", uses_left: 4 }]);
    await team.alarms();
    expect(team.told().map(({ text }) => text)).toEqual([
      "Being made: load.",
      "The clip failed (engine_failed) and cost nothing.",
    ]);
    expect(await team.replies()).toMatchObject([{ state: "delivered", uses_left: 3 }]);
  });

  it("is linked in the channel where its file is too large", async () => {
    await team.type(`a red ball ${DEMO_OPTION}`);
    await team.finish(await team.run());
    const larger = "update clips set outputs = json_set(outputs, '$.mp4.bytes', ?)";
    await env.DB.prepare(larger)
      .bind(FILE_BYTES + 1)
      .run();
    await team.alarms();
    expect(team.posted()).toEqual([]);
    expect(team.told().at(-1)).toMatchObject({ only: null, channelId: team.slack.channelId });
    expect(team.told().at(-1)?.text).toMatch(
      /<https:\/\/clips\.test\/v1\/files\/clip_.*\|watch it>.*It cost \$0\.000408/,
    );
  });

  it.each([
    [
      "the failure",
      async () => {
        const { ref } = await team.run();
        await failAttempt(team.world.ports, ref, { code: "engine_failed", retryable: false, message: "out of memory" });
      },
      "The clip failed (engine_failed) and cost nothing.",
    ],
    [
      "the expiry",
      async () => {
        team.world.advance(25 * 60 * MINUTE);
        await sweep(team.world.ports);
      },
      "The clip was not started in time and cost nothing.",
    ],
  ])("shows %s to whoever ordered", async (_, happen, expected) => {
    await team.type(`a red ball ${DEMO_OPTION}`);
    await happen();
    await team.alarms();
    expect(team.told().at(-1)?.text).toContain(expected);
  });

  it.each([
    ["a red ball model=sora", "There is no such model"],
    [`a red ball size=832x480 ${DEMO_OPTION}`, "not 832x480"],
    [`a red ball size=wide ${DEMO_OPTION}`, "`size` is not as it should be"],
    [`a red ball seed=-1 ${DEMO_OPTION}`, "`seed` must be a whole number"],
    [DEMO_OPTION, "Say what the clip shows."],
  ])("is refused in words for %s", async (text, expected) => {
    expect(await team.type(text)).toContain(expected);
    expect(await team.replies()).toEqual([]);
  });

  it.each([
    ["balance on a wire", "balance on a wire"],
    ["help a cat down from a tree", "help a cat down from a tree"],
    ["status quo, painted", "status quo, painted"],
    ["x=1 model=the best", "x=1 model=the best"],
    [`  a dog   seed=7  `, "a dog"],
  ])("takes %j for a prompt", async (text, prompt) => {
    await team.type(text);
    expect(await env.DB.prepare("select prompt from clips").first()).toEqual({ prompt });
  });
});

describe("a clip that takes longer than the response_url lives", () => {
  it("says so before it ends, then tells the end by a message of the bot", async () => {
    await team.install();
    await team.link();
    await team.type(`a red ball ${DEMO_OPTION}`);
    team.world.advance(30 * MINUTE - LAST_EDIT_MS);
    await team.alarms();
    expect(team.told().map(({ text }) => text)).toEqual([
      "Waiting in the queue, at place 1. It takes long; you will be told by a new message when it has ended.",
    ]);
    team.world.advance(10 * MINUTE);
    await team.finish(await team.run());
    await team.alarms();
    expect(team.posted()).toHaveLength(1);
    expect(team.told().at(-1)).toMatchObject({ by: "bot" });
  });
});

describe("caps and rules of a link", () => {
  it.each<[string, ChangeChatLink, string]>([
    ["clips of a user", { user_daily_clips: 2 }, "You may order 2 clips a day here"],
    ["clips of a channel", { channel_daily_clips: 2 }, "This channel may order 2 clips a day"],
    ["money of a user", { user_daily_cap_micros: 2 * CLIP_PRICE }, "You may spend $0.000816 a day here"],
    ["money of a channel", { channel_daily_cap_micros: 2 * CLIP_PRICE }, "This channel may spend $0.000816 a day"],
  ])("holds to %s: of orders at once exactly those pass that fit", async (_, rules, refusal) => {
    await team.link(rules);
    await Promise.all(Array.from({ length: 5 }, async () => await team.tell(team.slack.command(`x ${DEMO_OPTION}`))));
    expect(team.slack.seen.filter(({ text }) => text.startsWith("Ordered"))).toHaveLength(2);
    expect(team.slack.seen.filter(({ text }) => text.startsWith(refusal))).toHaveLength(3);
  });

  it("lets only its channels order", async () => {
    await team.link({ channels: ["C5"] });
    expect(await team.type(`x ${DEMO_OPTION}`)).toContain("its workspace's link names others");
    expect(await team.type(`x ${DEMO_OPTION}`, { channelId: "C5" })).toContain("Ordered");
  });
});
