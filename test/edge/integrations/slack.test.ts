// Slack from command to delivered file: the real services and Outbox code against the double, with a clock that tests move.
import { beforeEach, describe, expect, it } from "vitest";
import { answerInteraction } from "../../../edge/integrations/slack/actions.ts";
import { slackApi } from "../../../edge/integrations/slack/api.ts";
import { answerCommand, FILE_BYTES } from "../../../edge/integrations/slack/commands.ts";
import { slackAdapter } from "../../../edge/integrations/slack/deliver.ts";
import { hearEvent } from "../../../edge/integrations/slack/events.ts";
import { askToInstall, finishInstall, SCOPES } from "../../../edge/integrations/slack/oauth.ts";
import {
  commandSchema,
  eventSchema,
  type HeardEvent,
  interactionSchema,
} from "../../../edge/integrations/slack/wire.ts";
import { deliverReplies, FILE_TRIES, GIVE_UP_MS, LAST_EDIT_MS } from "../../../edge/services/chats/deliver.ts";
import { createLink, redeemCode } from "../../../edge/services/chats/links.ts";
import { laneOf } from "../../../edge/services/chats/order.ts";
import { verifyKey } from "../../../edge/services/keys/verify.ts";
import { completeAttempt } from "../../../edge/services/leases/complete.ts";
import { failAttempt } from "../../../edge/services/leases/fail.ts";
import { getBalance } from "../../../edge/services/money/balance.ts";
import { sweep } from "../../../edge/services/sweep.ts";
import { LOST_WAKE_MS } from "../../../edge/services/webhooks/wake.ts";
import type { ChangeChatLink } from "../../../shared/contract/chats.ts";
import type { AccountId } from "../../../shared/ids.ts";
import { SlackDouble, type Who } from "../../support/slack/double.ts";
import { env } from "../support/env.ts";
import { flakyDatabase } from "../support/flaky.ts";
import { expectInvariants } from "../support/invariants.ts";
import { RecordingOutboxes } from "../support/receivers.ts";
import { CLIP_PRICE, completion, FILES, freshDeployment, World } from "../support/world.ts";

const MINUTE = 60_000;
const DEMO = "model=turboclip-demo";
const flaky = flakyDatabase();
let world: World;
let outboxes: RecordingOutboxes;
let slack: SlackDouble;
let account: AccountId;

beforeEach(async () => {
  await freshDeployment();
  outboxes = new RecordingOutboxes();
  world = new World({ db: flaky.db, outboxes });
  slack = new SlackDouble("https://slack.test", () => world.nowMs);
  account = await world.account();
});

const application = () => ({
  clientId: slack.clientId,
  clientSecret: slack.clientSecret,
  signingSecret: slack.signingSecret,
  apiUrl: `${slack.origin}/api`,
});
const api = () => slackApi(application(), async (request) => await slack.handle(request));
const answering = () => ({ ports: world.ports, api: api() });
const place = () => ({ platform: "slack", placeId: slack.teamId }) as const;

async function installed(): Promise<string> {
  const { url, nonce } = await askToInstall(world.ports, application());
  const state = new URL(url).searchParams.get("state") ?? "";
  return await finishInstall(answering(), { code: slack.code, state, nonce });
}

async function link(rules: ChangeChatLink = {}): Promise<void> {
  const bearer = await verifyKey(world.ports, await world.key(account));
  const { code } = await createLink(world.ports, bearer, { platform: "slack", ...rules });
  await redeemCode(world.ports, place(), slack.userId, code);
}

/** What the command is answered, to whoever typed it alone. */
async function type(text: string, who: Who = {}): Promise<string> {
  const body = slack.command(text, who);
  await answered(body);
  return slack.seen.at(-1)?.text ?? "";
}

async function answered(body: string): Promise<void> {
  const command = commandSchema.parse(Object.fromEntries(new URLSearchParams(body)));
  await slack.deliver(body, async () =>
    Response.json({ ...(await answerCommand(answering(), command)), response_type: "ephemeral" }),
  );
}

async function interact(body: string): Promise<void> {
  const payload: unknown = JSON.parse(new URLSearchParams(body).get("payload") ?? "");
  await slack.deliver(body, async () => {
    await answerInteraction(answering(), interactionSchema.parse(payload));
    return new Response(null);
  });
}

async function hear(event: Readonly<Record<string, unknown>>, atMs?: number): Promise<void> {
  await hearEvent(answering(), eventSchema.parse(JSON.parse(slack.event(event, atMs))) as HeardEvent);
}

const lane = () => laneOf(place());
/** One alarm of the workspace's Outbox. */
async function alarm(): Promise<number | null> {
  return await deliverReplies(world.ports, slackAdapter(world.ports, api(), lane()), lane());
}

/** Alarms, each at its time, until nothing is due before an event. */
async function alarms(max = 50): Promise<void> {
  for (let i = 0; i < max; i++) {
    const next = await alarm();
    if (next === null) return;
    world.nowMs = Math.max(world.nowMs, next);
  }
  throw new Error(`something is still due after ${max} alarms`);
}

async function run() {
  const { claim, ref } = await world.start(await world.runner());
  return { claim, ref };
}

async function finish({ claim, ref }: Awaited<ReturnType<typeof run>>): Promise<void> {
  await world.upload(claim);
  await completeAttempt(world.ports, ref, await completion());
}

const replies = async () =>
  (await env.DB.prepare("select state, route, token, uses_left, last_error from chat_replies").all()).results;
const clipIds = async () =>
  (
    await env.DB.prepare("select clip_id from chat_replies order by created_at_ms").all<{ clip_id: string }>()
  ).results.map(({ clip_id: id }) => id);
const posted = () => slack.seen.filter(({ by }) => by === "files");
const told = () => slack.seen.filter(({ by }) => by === "response_url" || by === "bot");
const labels = (index: number) =>
  slack.seen.at(index)?.blocks.flatMap((b) => (b.type === "actions" ? b.elements.map(({ text }) => text.text) : []));

describe("installing", () => {
  it("keeps the bot's token of each workspace, sealed", async () => {
    expect(await installed()).toBe("Example");
    const { results } = await env.DB.prepare("select * from chat_installations").all();
    expect(results).toMatchObject([{ platform: "slack", place_id: slack.teamId, installed_by: slack.installer }]);
    expect(JSON.stringify(results)).not.toContain(slack.botToken);
  });

  it.each([
    ["another browser's cookie", { nonce: "bm9uY2Utb2YtYW5vdGhlcg" }, "did not ask"],
    ["no cookie", { nonce: "" }, "did not ask"],
    ["a state with a later end", { state: "9999999999999.c2ln" }, "did not ask"],
    ["a code that Slack does not know", { code: "stolen" }, "invalid_code"],
  ])("refuses %s", async (_, wrong, refusal) => {
    const { url, nonce } = await askToInstall(world.ports, application());
    const state = new URL(url).searchParams.get("state") ?? "";
    await expect(finishInstall(answering(), { code: slack.code, state, nonce, ...wrong })).rejects.toThrow(refusal);
    expect((await env.DB.prepare("select * from chat_installations").all()).results).toEqual([]);
  });

  it("refuses a state that is older than ten minutes", async () => {
    const { url, nonce } = await askToInstall(world.ports, application());
    const state = new URL(url).searchParams.get("state") ?? "";
    world.advance(10 * MINUTE);
    await expect(finishInstall(answering(), { code: slack.code, state, nonce })).rejects.toThrow("too long");
  });

  it("asks for the scopes that its calls need", async () => {
    const { url } = await askToInstall(world.ports, application());
    expect(new URL(url).searchParams.get("scope")).toBe(SCOPES.join(","));
  });
});

describe("linking", () => {
  const code = async () =>
    (await createLink(world.ports, await verifyKey(world.ports, await world.key(account)), { platform: "slack" })).code;

  it("refuses to order in a workspace that is not linked, and says how to link it", async () => {
    expect(await type("a red ball")).toContain("/clip link");
  });

  it("links by who installed the app and by admins, and by nobody else", async () => {
    await installed();
    const given = await code();
    expect(await type(`link ${given}`)).toContain("for who installed turboclip here");
    slack.admins.add(slack.userId);
    expect(await type(`link ${given}`)).toContain("is linked");
    expect(await type(`a red ball ${DEMO}`)).toContain("Ordered for $0.000408.");
    expect(await type(`link ${await code()}`, { userId: slack.installer })).toContain("linked already");
  });

  it("does not take Slack's silence for a yes", async () => {
    await installed();
    slack.faults.push("no answer");
    expect(await type(`link ${await code()}`)).toContain("did not say in time");
  });

  it("says where to install the app where it is not", async () => {
    expect(await type(`link ${await code()}`)).toContain("https://clips.test/integrations/slack/install");
  });

  it("has no roles, and says so", async () => {
    const bearer = await verifyKey(world.ports, await world.key(account));
    await expect(createLink(world.ports, bearer, { platform: "slack", roles: ["R1"] })).rejects.toThrow("no roles");
  });
});

describe("an order", () => {
  beforeEach(async () => {
    await installed();
    await link();
  });

  it("is acknowledged with its price, told of when it starts, and ends as one post of its files and its cost", async () => {
    expect(await type(`a red ball ${DEMO}`)).toBe("Ordered for $0.000408. Waiting in the queue.");
    expect(labels(-1)).toEqual(["Cancel"]);
    world.advance(1_000);
    await alarm();
    expect(told()).toEqual([]); // the acknowledgement has said it all
    const attempt = await run();
    await alarm();
    expect(told().map(({ text, only }) => [text, only])).toEqual([["Being made: load.", slack.userId]]);
    await finish(attempt);
    await alarms();
    expect(posted()).toMatchObject([
      {
        channelId: slack.channelId,
        only: null,
        text: `<@${slack.userId}> Your clip is ready. It cost $0.000408.\na red ball`,
        files: [FILES.mp4, FILES.poster],
      },
    ]);
    expect(told().map(({ text, only }) => [text, only])).toEqual([
      ["Being made: load.", slack.userId],
      ["Your clip is ready. It cost $0.000408.", slack.userId],
    ]);
    expect(labels(-1)).toEqual(["Again · $0.000408"]);
    expect(await replies()).toEqual([
      { state: "delivered", route: "token", token: null, uses_left: 3, last_error: null },
    ]);
    await expectInvariants();
  });

  it("is ordered once when the same command comes twice", async () => {
    const body = slack.command(`a red ball ${DEMO}`);
    await answered(body);
    await answered(body);
    expect(slack.seen.map(({ text }) => text)).toEqual([slack.seen[0]?.text, slack.seen[0]?.text]);
    expect((await getBalance(world.ports, account)).pending_micros).toBe(CLIP_PRICE);
    expect(await replies()).toHaveLength(1);
  });

  it("is committed with its reply or not at all", async () => {
    flaky.lose("request");
    await expect(type(`a red ball ${DEMO}`)).rejects.toThrow();
    expect(await replies()).toEqual([]);
    expect(await getBalance(world.ports, account)).toMatchObject({ pending_micros: 0 });
  });

  it("mentions nobody and links nowhere by what a prompt says", async () => {
    await type(`<!channel> & <https://evil.test|here> ${DEMO}`);
    await finish(await run());
    await alarms();
    expect(posted()[0]?.text).toContain("\n&lt;!channel&gt; &amp; &lt;https://evil.test|here&gt;");
    for (const { blocks } of slack.seen) {
      const formatted = blocks.flatMap((b) => (b.type === "section" && b.text.type === "mrkdwn" ? [b.text.text] : []));
      expect(formatted.join("\n")).not.toContain("evil");
    }
    const prompt = await env.DB.prepare("select prompt from clips").first();
    expect(prompt).toEqual({ prompt: "<!channel> & <https://evil.test|here>" });
  });

  it("keeps no response_url in the clear", async () => {
    const body = slack.command(`a red ball ${DEMO}`);
    await answered(body);
    const { results } = await env.DB.prepare("select * from chat_replies").all();
    expect(JSON.stringify(results)).not.toContain(new URLSearchParams(body).get("response_url"));
  });

  it("counts a use though the clip went on while it was sent", async () => {
    await type(`a red ball ${DEMO}`);
    const { ref } = await run();
    const racing = slackApi(application(), async (request) => {
      const answer = await slack.handle(request);
      await failAttempt(world.ports, ref, { code: "engine_failed", retryable: false, message: "out of memory" });
      return answer;
    });
    await deliverReplies(world.ports, slackAdapter(world.ports, racing, lane()), lane());
    expect(await replies()).toMatchObject([{ state: "pending", uses_left: 4 }]);
    await alarms();
    expect(told().map(({ text }) => text)).toEqual([
      "Being made: load.",
      "The clip failed (engine_failed) and cost nothing.",
    ]);
    expect(await replies()).toMatchObject([{ state: "delivered", uses_left: 3 }]);
  });

  it("is linked in the channel where its file is too large", async () => {
    await type(`a red ball ${DEMO}`);
    await finish(await run());
    const larger = "update clips set outputs = json_set(outputs, '$.mp4.bytes', ?)";
    await env.DB.prepare(larger)
      .bind(FILE_BYTES + 1)
      .run();
    await alarms();
    expect(posted()).toEqual([]);
    expect(told().at(-1)).toMatchObject({ only: null, channelId: slack.channelId });
    expect(told().at(-1)?.text).toMatch(/<https:\/\/clips\.test\/v1\/files\/clip_.*\|watch it>.*It cost \$0\.000408/);
  });

  it.each([
    [
      "the failure",
      async () => {
        const { ref } = await run();
        await failAttempt(world.ports, ref, { code: "engine_failed", retryable: false, message: "out of memory" });
      },
      "The clip failed (engine_failed) and cost nothing.",
    ],
    [
      "the expiry",
      async () => {
        world.advance(25 * 60 * MINUTE);
        await sweep(world.ports);
      },
      "The clip was not started in time and cost nothing.",
    ],
  ])("shows %s to whoever ordered", async (_, happen, expected) => {
    await type(`a red ball ${DEMO}`);
    await happen();
    await alarms();
    expect(told().at(-1)?.text).toContain(expected);
  });

  it.each([
    ["a red ball model=sora", "There is no such model"],
    [`a red ball size=832x480 ${DEMO}`, "not 832x480"],
    [`a red ball size=wide ${DEMO}`, "`size` is not as it should be"],
    [`a red ball seed=-1 ${DEMO}`, "`seed` must be a whole number"],
    [DEMO, "Say what the clip shows."],
  ])("is refused in words for %s", async (text, expected) => {
    expect(await type(text)).toContain(expected);
    expect(await replies()).toEqual([]);
  });

  it.each([
    ["balance on a wire", "balance on a wire"],
    ["help a cat down from a tree", "help a cat down from a tree"],
    ["status quo, painted", "status quo, painted"],
    ["x=1 model=the best", "x=1 model=the best"],
    [`  a dog   seed=7  `, "a dog"],
  ])("takes %j for a prompt", async (text, prompt) => {
    await type(text);
    expect(await env.DB.prepare("select prompt from clips").first()).toEqual({ prompt });
  });
});

describe("faults on the way", () => {
  beforeEach(async () => {
    await installed();
    await link();
    await type(`a red ball ${DEMO}`);
    await finish(await run());
    world.advance(2_000);
  });

  const deliveredOnce = async (route = "token") => {
    expect(posted().map(({ files }) => files)).toEqual([[FILES.mp4, FILES.poster]]);
    expect(await replies()).toMatchObject([{ state: "delivered", route, token: null }]);
  };

  it.each([
    ["500s", [{ status: 500 }, { status: 502 }, { status: 503 }]],
    ["timeouts", ["no answer", "no answer"]],
    ["answers that are lost", ["lost", "lost"]],
  ] as const)("does not stop at %s", async (_, faults) => {
    slack.faults.push(...faults);
    await alarms();
    await deliveredOnce();
    expect(told()).toHaveLength(1);
  });

  it("posts the files once though the answer to the posting was lost", async () => {
    await alarm(); // uploads both
    slack.requests.length = 0;
    slack.faults.push({ status: 500 }, "lost");
    await alarm(); // files.info fails
    world.advance(2_000);
    slack.faults.length = 0;
    await flakyAnswerTo("files.completeUploadExternal");
    expect(posted()).toHaveLength(1);
    await alarms();
    await deliveredOnce();
  });

  /** One alarm in which the answer to this call is lost after it was obeyed. */
  async function flakyAnswerTo(method: string): Promise<void> {
    const lossy = slackApi(application(), async (request) => {
      const answer = await slack.handle(request);
      if (request.url.endsWith(method)) throw new TypeError("connection reset");
      return answer;
    });
    const next = await deliverReplies(world.ports, slackAdapter(world.ports, lossy, lane()), lane());
    world.nowMs = Math.max(world.nowMs, next ?? 0);
  }

  it.each(["request", "answer"] as const)(
    "survives a restart between each of its steps and its record (%s lost)",
    async (loss) => {
      for (let step = 0; step < 3; step++) {
        flaky.lose(loss);
        await expect(alarm()).rejects.toThrow();
        if ((await replies())[0]?.state === "delivered") break;
        await alarm();
      }
      await alarms();
      await deliveredOnce();
    },
  );

  it("waits as long as a 429 says, and does not count it as a use", async () => {
    await alarm(); // uploads
    await alarm(); // posts
    slack.faults.push({ status: 429, retryAfterS: 7.5 });
    expect(await alarm()).toBe(world.nowMs + 7_500);
    expect(await replies()).toMatchObject([{ state: "pending", uses_left: 5 }]);
    world.advance(7_499);
    await alarm();
    expect(told()).toEqual([]);
    world.advance(1);
    await alarms();
    await deliveredOnce();
    expect(await replies()).toMatchObject([{ uses_left: 4 }]);
  });

  it("is woken by the sweep when the wake after the commit was lost", async () => {
    outboxes.woken.length = 0;
    world.advance(LOST_WAKE_MS);
    await sweep(world.ports);
    expect(outboxes.woken).toEqual([`slack:${slack.teamId}`]);
  });

  it("links in the channel where the bot is not in it", async () => {
    slack.joined.clear();
    await alarms();
    expect(posted()).toEqual([]);
    expect(told()).toMatchObject([
      { by: "response_url", only: null, text: expect.stringContaining("watch it") as unknown },
    ]);
    expect(await replies()).toMatchObject([{ state: "delivered" }]);
  });

  it("links where uploads go wrong again and again", async () => {
    slack.faults.push(...Array.from({ length: FILE_TRIES }, () => ({ status: 500 }) as const));
    await alarms();
    expect(told()).toMatchObject([{ only: null, text: expect.stringContaining("watch it") as unknown }]);
  });

  it("goes on by the bot once the response_url is over: in the channel, with a mention", async () => {
    world.advance(30 * MINUTE);
    await alarms();
    await deliveredOnce("channel");
    expect(told()).toMatchObject([
      { by: "bot", channelId: slack.channelId, text: `<@${slack.userId}> Your clip is ready. It cost $0.000408.` },
    ]);
  });

  it("goes on as a direct message with a link where the bot is not in the channel either", async () => {
    world.advance(30 * MINUTE);
    slack.joined.clear();
    await alarms();
    expect(told()).toMatchObject([
      { by: "bot", channelId: slack.userId, text: expect.stringContaining("watch it") as unknown },
    ]);
  });

  it("ends as failed with its reason when no way is open, and the clip stays in /clip status", async () => {
    world.advance(30 * MINUTE);
    slack.tokenIsRevoked = true;
    await alarms();
    expect(await replies()).toMatchObject([
      { state: "failed", route: "direct", token: null, last_error: "chat.postMessage: token_revoked" },
    ]);
    expect(await type("status")).toContain("|watch it>");
  });

  it("uses a response_url five times and no more, whatever went wrong", async () => {
    await alarm();
    await alarm();
    slack.faults.push(...Array.from({ length: 5 }, () => ({ status: 503 }) as const));
    await alarms();
    expect(slack.requests.filter((name) => name === "fault 503")).toHaveLength(5);
    expect(told()).toMatchObject([{ by: "bot" }]);
    expect(await replies()).toMatchObject([{ state: "delivered", route: "channel", uses_left: 0 }]);
  });

  it("is given up a day after the clip's end when Slack never answers", async () => {
    world.advance(GIVE_UP_MS);
    slack.faults.push(...Array.from({ length: 30 }, () => ({ status: 500 }) as const));
    await alarms();
    expect(await replies()).toMatchObject([{ state: "failed", last_error: "Slack answered 500" }]);
  });
});

describe("a clip that takes longer than the response_url lives", () => {
  it("says so before it ends, then tells the end by a message of the bot", async () => {
    await installed();
    await link();
    await type(`a red ball ${DEMO}`);
    world.advance(30 * MINUTE - LAST_EDIT_MS);
    await alarms();
    expect(told().map(({ text }) => text)).toEqual([
      "Waiting in the queue, at place 1. It takes long; you will be told by a new message when it has ended.",
    ]);
    world.advance(10 * MINUTE);
    await finish(await run());
    await alarms();
    expect(posted()).toHaveLength(1);
    expect(told().at(-1)).toMatchObject({ by: "bot" });
  });
});

describe("caps and rules of a link", () => {
  it.each<[string, ChangeChatLink, string]>([
    ["clips of a user", { user_daily_clips: 2 }, "You may order 2 clips a day here"],
    ["clips of a channel", { channel_daily_clips: 2 }, "This channel may order 2 clips a day"],
    ["money of a user", { user_daily_cap_micros: 2 * CLIP_PRICE }, "You may spend $0.000816 a day here"],
    ["money of a channel", { channel_daily_cap_micros: 2 * CLIP_PRICE }, "This channel may spend $0.000816 a day"],
  ])("holds to %s: of orders at once exactly those pass that fit", async (_, rules, refusal) => {
    await link(rules);
    await Promise.all(Array.from({ length: 5 }, async () => await answered(slack.command(`x ${DEMO}`))));
    expect(slack.seen.filter(({ text }) => text.startsWith("Ordered"))).toHaveLength(2);
    expect(slack.seen.filter(({ text }) => text.startsWith(refusal))).toHaveLength(3);
  });

  it("lets only its channels order", async () => {
    await link({ channels: ["C5"] });
    expect(await type(`x ${DEMO}`)).toContain("its workspace's link names others");
    expect(await type(`x ${DEMO}`, { channelId: "C5" })).toContain("Ordered");
  });
});

describe("buttons, the shortcut and the other commands", () => {
  beforeEach(async () => {
    await installed();
    await link();
  });
  const ordered = async (text = `a red ball seed=7 ${DEMO}`) => {
    await type(text);
    return (await clipIds()).at(-1) ?? "";
  };

  it("makes a clip again with another seed, as an order of whoever pressed, and tells them", async () => {
    const id = await ordered();
    await interact(slack.press("again", id, { userId: "U2" }));
    const { results } = await env.DB.prepare("select seed, prompt from clips where id <> ?").bind(id).all();
    expect(results).toEqual([{ seed: expect.any(Number) as unknown, prompt: "a red ball" }]);
    expect(results[0]?.seed).not.toBe(7);
    world.advance(1_000);
    await alarm();
    expect(told()).toMatchObject([{ only: "U2", text: "Waiting in the queue, at place 2." }]);
  });

  it("makes a clip again at 720p by the sister model, at the price that the button shows", async () => {
    const id = await ordered("a ball model=turbowan2.1-t2v-14b-480p size=480x832 seed=7");
    await interact(slack.press("hd", id));
    const wanted = "select model, size, seed, price_micros from clips where size = '720x1280'";
    expect(await env.DB.prepare(wanted).first()).toEqual({
      model: "turbowan2.1-t2v-14b-720p",
      size: "720x1280",
      seed: 7,
      price_micros: 220_000,
    });
  });

  it("orders once though a press is told twice", async () => {
    const press = slack.press("again", await ordered());
    await interact(press);
    await interact(press);
    expect(await clipIds()).toHaveLength(2);
  });

  it("lets who ordered and managers cancel, and tells it", async () => {
    const id = await ordered();
    await interact(slack.press("cancel", id, { userId: "U2" }));
    expect(told()).toMatchObject([{ only: "U2", text: expect.stringContaining("Only who ordered") as unknown }]);
    await interact(slack.press("cancel", id, { userId: slack.installer }));
    await alarms();
    expect(told().at(-1)?.text).toBe("The clip was cancelled and cost nothing.");
    expect(await replies()).toMatchObject([{ state: "delivered" }]);
  });

  it("knows no clips of the account's other callers", async () => {
    const other = await world.order(account);
    for (const action of ["again", "hd", "cancel"]) await interact(slack.press(action, other.id));
    expect(told().map(({ text }) => text)).toEqual(Array(3).fill("There is no such clip in this workspace."));
    expect(await type(`status ${other.id}`)).toBe("There is no such clip in this workspace.");
  });

  it("makes a clip of a message by the shortcut", async () => {
    await interact(slack.shortcut("a cat &amp; a dog"));
    expect(await env.DB.prepare("select prompt from clips").first()).toEqual({ prompt: "a cat & a dog" });
    await interact(slack.shortcut("  "));
    expect(told().at(-1)?.text).toBe("Say what the clip shows.");
  });

  it("shows the balance to who manages the workspace, and help to everybody", async () => {
    expect(await type("balance")).toContain("for who installed turboclip here");
    expect(await type("balance", { userId: slack.installer })).toContain("$1.000000 can be spent");
    expect(await type("")).toContain("/clip a red ball");
    expect(await type("help")).toContain("/clip a red ball");
  });

  it("shows at home the last clips, and the balance to who manages the workspace", async () => {
    await ordered();
    const home = async (user: string) => {
      await hear({ type: "app_home_opened", user, tab: "home" });
      return JSON.stringify(slack.homes.get(user));
    };
    expect(await home(slack.userId)).toContain("a red ball");
    expect(await home(slack.userId)).not.toContain("can be spent");
    expect(await home(slack.installer)).toContain("$0.999592 can be spent");
    expect(await home(slack.installer)).toContain("You have ordered no clip here yet");
  });

  it("has Slack tell again of a Home tab that could not be shown", async () => {
    slack.faults.push({ status: 500 });
    const opened = { type: "app_home_opened", user: slack.installer, tab: "home" };
    await expect(hear(opened)).rejects.toThrow("Home tab");
    await hear(opened);
    expect(slack.homes.has(slack.installer)).toBe(true);
  });
});

describe("leaving", () => {
  beforeEach(async () => {
    await installed();
    await link();
    await type(`a red ball ${DEMO}`);
    world.advance(1_000);
  });
  const left = async () => ({
    installations: (await env.DB.prepare("select * from chat_installations").all()).results.length,
    links: (await env.DB.prepare("select * from chat_links where unlinked_at_ms is null").all()).results.length,
    replies: await replies(),
  });
  const gone = {
    installations: 0,
    links: 0,
    replies: [{ state: "failed", route: "token", token: null, uses_left: 5, last_error: "the app was removed" }],
  };

  it.each([
    ["the app is removed", { type: "app_uninstalled" }],
    ["the bot's token is revoked", { type: "tokens_revoked", tokens: { oauth: [], bot: ["U0KRQLJ9H"] } }],
  ])("unlinks the workspace and erases its tokens when %s, however often it is told", async (_, event) => {
    await hear(event);
    expect(await left()).toEqual(gone);
    await hear(event);
    expect(await left()).toEqual(gone);
    expect(await type(`x ${DEMO}`)).toContain("not linked");
    await expectInvariants();
  });

  it("does not mind when a person's own token is revoked", async () => {
    await hear({ type: "tokens_revoked", tokens: { oauth: ["U1"] } });
    expect(await left()).toMatchObject({ installations: 1, links: 1, replies: [{ state: "pending" }] });
  });

  it("keeps what was installed and linked anew when the old leaving is told of late", async () => {
    const uninstalledAtMs = world.nowMs;
    await hear({ type: "app_uninstalled" });
    world.advance(5 * MINUTE);
    await installed();
    await link();
    await hear({ type: "tokens_revoked", tokens: { bot: ["U0KRQLJ9H"] } }, uninstalledAtMs);
    expect(await left()).toMatchObject({ installations: 1, links: 1 });
  });
});
