// Discord from command to delivered file: the real services and Outbox code against the double, with a clock that tests
// move. "Answered once" is what the double then shows.
import { beforeEach, describe, expect, it } from "vitest";
import { discordApi } from "../../../edge/integrations/discord/api.ts";
import { discordAdapter } from "../../../edge/integrations/discord/deliver.ts";
import { answerInteraction } from "../../../edge/integrations/discord/interactions.ts";
import {
  deliverReplies,
  EDIT_INTERVAL_MS,
  GIVE_UP_AFTER,
  GIVE_UP_MS,
  LAST_EDIT_MS,
} from "../../../edge/services/chats/deliver.ts";
import { createLink, redeemCode } from "../../../edge/services/chats/links.ts";
import { laneOf } from "../../../edge/services/chats/order.ts";
import { deleteClip } from "../../../edge/services/clips/delete.ts";
import { verifyKey } from "../../../edge/services/keys/verify.ts";
import { completeAttempt } from "../../../edge/services/leases/complete.ts";
import { failAttempt } from "../../../edge/services/leases/fail.ts";
import { heartbeat } from "../../../edge/services/leases/heartbeat.ts";
import { getBalance } from "../../../edge/services/money/balance.ts";
import { sweep } from "../../../edge/services/sweep.ts";
import { LOST_WAKE_MS } from "../../../edge/services/webhooks/wake.ts";
import type { ChangeChatLink } from "../../../shared/contract/chats.ts";
import type { AccountId, ClipId } from "../../../shared/ids.ts";
import { DiscordDouble } from "../../support/discord/double.ts";
import { env } from "../support/env.ts";
import { flakyDatabase } from "../support/flaky.ts";
import { expectInvariants } from "../support/invariants.ts";
import { RecordingOutboxes } from "../support/receivers.ts";
import { countOf } from "../support/search.ts";
import { CLIP_PRICE, completion, DEMO, FILES, freshDeployment, World } from "../support/world.ts";

const MINUTE = 60_000;
const flaky = flakyDatabase();
let world: World;
let outboxes: RecordingOutboxes;
let discord: DiscordDouble;
let account: AccountId;

beforeEach(async () => {
  await freshDeployment();
  outboxes = new RecordingOutboxes();
  world = new World({ db: flaky.db, outboxes });
  discord = await DiscordDouble.open(() => world.nowMs);
  account = await world.account();
});

async function link(rules: ChangeChatLink = {}): Promise<void> {
  const bearer = await verifyKey(world.ports, await world.key(account));
  const { code } = await createLink(world.ports, bearer, { platform: "discord", ...rules });
  await redeemCode(world.ports, { platform: "discord", placeId: discord.guildId }, "80351110224678912", code);
}

type Wanted = Parameters<DiscordDouble["interaction"]>[0];

async function tell(wanted: Wanted) {
  const { id, body } = discord.interaction(wanted);
  const post = async () => Response.json(await answerInteraction(world.ports, JSON.parse(body)));
  return { id, body, answer: await discord.deliver(body, post) };
}

const command = (name: string, options: object = {}, who: Partial<Wanted> = {}): Wanted => ({
  type: 2,
  data: { name, options: Object.entries(options).map(([option, value]) => ({ name: option, value })) },
  ...who,
});
const clip = async (options: object = {}, who: Partial<Wanted> = {}) =>
  await tell(command("clip", { prompt: "a red ball", model: DEMO, ...options }, who));
const press = async (customId: string, who: Partial<Wanted> = {}) =>
  await tell({ type: 3, data: { custom_id: customId, component_type: 2 }, ...who });

async function said(wanted: Wanted): Promise<string> {
  const { answer } = await tell(wanted);
  if (answer.type !== 4) throw new Error(`answered by type ${answer.type}`);
  expect(answer.data).toMatchObject({ flags: 64, allowed_mentions: { parse: [] } });
  return answer.data.content ?? "";
}

/** One alarm of the server's Outbox. */
async function alarm(): Promise<number | null> {
  const application = { id: discord.applicationId, publicKey: discord.publicKey, botToken: discord.botToken };
  const api = discordApi({ ...application, apiUrl: "https://discord.test/api/v10" }, (r) => discord.handle(r));
  return await deliverReplies(
    world.ports,
    discordAdapter(world.ports, api),
    laneOf({ platform: "discord", placeId: discord.guildId }),
  );
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
  (await env.DB.prepare("select state, route, token, last_error from chat_replies").all()).results;

describe("linking", () => {
  it("refuses to order in a server that is not linked, and says how to link it", async () => {
    expect(await said(command("clip", { prompt: "a red ball" }))).toContain("/turboclip-link");
  });

  it("links by a manager's command and by nobody else's", async () => {
    const bearer = await verifyKey(world.ports, await world.key(account));
    const { code } = await createLink(world.ports, bearer, { platform: "discord" });
    expect(await said(command("turboclip-link", { code }))).toBe("This takes the permission Manage Server.");
    expect(await said(command("turboclip-link", { code }, { permissions: "32" }))).toContain("is linked");
    expect((await clip()).answer).toEqual({ type: 5 });
  });

  it("lets the chat do no more than the key that it was lent", async () => {
    await link();
    await env.DB.prepare("update api_keys set scopes = '[\"clips:read\"]'").run();
    expect(await said(command("clip", { prompt: "a red ball" }))).toContain("lacks the scope clips:write");
    await env.DB.prepare("update api_keys set revoked_at_ms = 1").run();
    expect(await said(command("clip-status"))).toContain("was revoked");
  });
});

describe("an order", () => {
  beforeEach(async () => await link());

  it("is acknowledged, edited as it goes on, and ends as one message with the file and its cost", async () => {
    const { id, answer } = await clip();
    expect(answer).toEqual({ type: 5 });
    await alarm();
    expect(discord.original(id)).toBeNull(); // not before the acknowledgement can have been read
    world.advance(1_000);
    await alarm();
    expect(discord.original(id)?.content).toBe("Waiting in the queue, at place 1.");
    const attempt = await run();
    world.advance(EDIT_INTERVAL_MS);
    await alarm();
    expect(discord.original(id)?.content).toBe("Being made: load.");
    await finish(attempt);
    await alarms();
    const shown = discord.original(id);
    expect(shown?.content).toBe("Your clip is ready. It cost $0.000408.");
    expect(shown?.files).toEqual([FILES.mp4]);
    expect(shown?.embeds?.[0]?.description).toBe("a red ball");
    expect(shown?.components?.[0]?.components.map(({ label }) => label)).toEqual(["Again · $0.000408"]);
    expect(await replies()).toEqual([{ state: "delivered", route: "token", token: null, last_error: null }]);
    expect(discord.posted).toEqual([]);
    await expectInvariants();
  });

  it("is edited at most once in five seconds, however often its clip moves", async () => {
    const { id } = await clip();
    world.advance(1_000);
    await alarm();
    const { ref } = await run(); // its event makes the reply due at once
    await alarm();
    expect(discord.edits(id)).toBe(1);
    for (let step = 1; step <= 4; step++) {
      world.advance(1_000);
      await heartbeat(world.ports, ref, { stage: "denoise", step, steps: 4 });
      await alarm();
    }
    expect(discord.edits(id)).toBe(1);
    world.advance(1_000);
    await alarm();
    expect(discord.edits(id)).toBe(2);
  });

  it("is ordered once when the same interaction comes twice", async () => {
    const { body } = await clip();
    expect(await answerInteraction(world.ports, JSON.parse(body))).toEqual({ type: 5 });
    const { pending_micros: held } = await getBalance(world.ports, account);
    expect(held).toBe(CLIP_PRICE);
    expect(await replies()).toHaveLength(1);
  });

  it("is committed with its reply or not at all", async () => {
    flaky.lose("request");
    await expect(clip()).rejects.toThrow();
    expect(await replies()).toEqual([]);
    expect(await getBalance(world.ports, account)).toMatchObject({ pending_micros: 0 });
  });

  it("links to the file where it is larger than the interaction allows", async () => {
    const { id } = await clip({}, { sizeLimit: FILES.mp4.length - 1 });
    await finish(await run());
    world.advance(EDIT_INTERVAL_MS);
    await alarms();
    const shown = discord.original(id);
    expect(shown?.files).toEqual([]);
    expect(shown?.content).toMatch(/\[watch it\]\(https:\/\/clips\.test\/v1\/files\/clip_.*It cost \$0\.000408/);
    expect(shown?.embeds?.[0]?.image?.url).toContain("/poster?");
  });

  it("leaves nothing of its prompt in the database or the bucket once its clip is deleted", async () => {
    const secret = "a very private turquoise elephant";
    const { id } = await clip({ prompt: secret });
    const attempt = await run();
    await finish(attempt);
    await alarms();
    expect(discord.original(id)?.files).toHaveLength(1);
    expect((await countOf(secret)).inDatabase).toBeGreaterThan(0);
    await deleteClip(world.ports, account, attempt.claim.clip_id);
    expect(await countOf(secret)).toEqual({ inDatabase: 0, inBucket: 0 });
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
    const { id } = await clip();
    await happen();
    world.advance(1_000);
    await alarms();
    const shown = discord.original(id)?.content ?? discord.posted[0]?.message.content;
    expect(shown).toContain(expected);
  });

  it("never mentions anybody by what a prompt says, and never logs or keeps the token in the clear", async () => {
    const { id, body } = await clip({ prompt: "@everyone <@1>" });
    const { token } = JSON.parse(body) as { token: string };
    const { results } = await env.DB.prepare("select * from chat_replies").all();
    expect(JSON.stringify(results)).not.toContain(token);
    world.advance(1_000);
    await alarm();
    expect(discord.original(id)?.allowed_mentions).toEqual({ parse: [] });
  });

  it.each([
    [{ prompt: " " }, "Say what the clip shows."],
    [{ model: "sora" }, "There is no such model"],
    [{ size: "832x480" }, "not 832x480"],
    [{ size: "wide" }, "`size` is not as it should be"],
    [{ seed: -1 }, "`seed` is not as it should be"],
  ])("is refused in words for %j", async (options, expected) => {
    expect(await said(command("clip", { prompt: "a red ball", model: DEMO, ...options }))).toContain(expected);
    expect(await replies()).toEqual([]);
  });
});

describe("faults on the way", () => {
  let id: string;
  beforeEach(async () => {
    await link();
    ({ id } = await clip());
    await finish(await run());
    world.advance(2_000);
  });

  const answeredOnce = () => {
    expect(discord.original(id)?.files).toEqual([FILES.mp4]);
    expect(discord.posted).toEqual([]);
  };

  it.each([
    ["500s", [{ status: 500 }, { status: 502 }, { status: 503 }]],
    ["timeouts", ["no answer", "no answer"]],
    ["answers that are lost after the edit was made", ["lost", "lost"]],
  ] as const)("does not stop at %s", async (_, faults) => {
    discord.faults.push(...faults);
    await alarms();
    answeredOnce();
    expect(await replies()).toMatchObject([{ state: "delivered", route: "token" }]);
  });

  it("waits as long as a 429 says", async () => {
    discord.faults.push({ status: 429, retryAfterS: 7.5 });
    expect(await alarm()).toBe(world.nowMs + 7_500);
    world.advance(7_499);
    await alarm();
    expect(discord.original(id)).toBeNull();
    world.advance(1);
    await alarms();
    answeredOnce();
  });

  it.each(["request", "answer"] as const)(
    "survives a restart between the edit and its record (%s lost)",
    async (loss) => {
      flaky.lose(loss);
      await expect(alarm()).rejects.toThrow();
      await alarms();
      answeredOnce();
      expect(await replies()).toMatchObject([{ state: "delivered" }]);
    },
  );

  it("is woken by the sweep when the wake after the commit was lost", async () => {
    outboxes.woken.length = 0;
    world.advance(LOST_WAKE_MS);
    await sweep(world.ports);
    expect(outboxes.woken).toEqual([`discord:${discord.guildId}`]);
    await alarms();
    answeredOnce();
  });

  it("goes on as a message to the channel where the acknowledgement came too late", async () => {
    discord.void(id);
    await alarms();
    expect(discord.original(id)).toBeNull();
    expect(
      discord.posted.map(({ channelId, message }) => [channelId, message.content, message.allowed_mentions]),
    ).toEqual([
      [
        "41771983423143937",
        "<@80351110224678912> Your clip is ready. It cost $0.000408.",
        { users: ["80351110224678912"] },
      ],
    ]);
  });

  it("makes no second message when the answer to the first was lost", async () => {
    world.advance(15 * MINUTE);
    discord.faults.push("lost");
    await alarms();
    expect(discord.posted).toHaveLength(1);
    expect(discord.posted[0]?.message.files).toEqual([FILES.mp4]);
  });

  it("goes on as a direct message where the bot is not in the channel", async () => {
    world.advance(15 * MINUTE);
    discord.closedChannels.add("41771983423143937");
    await alarms();
    expect(discord.posted.map(({ channelId }) => channelId)).toEqual(["90351110224678912"]);
  });

  it("ends as failed with its reason when no way is open, and the clip stays in /clip-status", async () => {
    world.advance(15 * MINUTE);
    discord.closedChannels.add("41771983423143937").add("90351110224678912");
    await alarms();
    expect(await replies()).toEqual([
      { state: "failed", route: "direct", token: null, last_error: "Discord answered 403 (code 50001)" },
    ]);
    expect(await said(command("clip-status"))).toContain("Your clip is ready: [watch it]");
  });

  it("holds up no other reply by a token that no key opens, and goes on by the bot once that token would be over", async () => {
    const second = await clip({ prompt: "a blue ball" });
    await finish(await run());
    await env.DB.prepare("update chat_replies set token = 'k0.AAAA' where id = ?").bind(id).run();
    world.advance(2_000);
    await alarm();
    expect(discord.original(id)).toBeNull();
    expect(discord.original(second.id)?.files).toEqual([FILES.mp4]);
    await alarms();
    expect(discord.posted.map(({ message }) => message.files)).toEqual([[FILES.mp4]]);
    expect(await replies()).toMatchObject([
      { state: "delivered", route: "channel" },
      { state: "delivered", route: "token" },
    ]);
  });

  it("is given up when it could not even be made for a day", async () => {
    await env.DB.prepare("update chat_replies set token = 'k0.AAAA', deadline_ms = deadline_ms + 9e8").run();
    await env.DB.prepare("update chat_replies set failures = ?")
      .bind(GIVE_UP_AFTER - 2)
      .run();
    await alarms();
    expect(await replies()).toMatchObject([{ state: "failed", token: null }]);
  });

  it("is given up when its clip was deleted and Discord does not answer for a day", async () => {
    const clipId = (await env.DB.prepare("select clip_id from chat_replies").first<string>("clip_id")) ?? "";
    await deleteClip(world.ports, account, clipId as ClipId);
    world.advance(15 * MINUTE + GIVE_UP_MS);
    discord.faults.push({ status: 500 });
    await alarms();
    expect(await replies()).toMatchObject([{ state: "failed", token: null }]);
  });

  it("is given up when Discord has limited it for a day", async () => {
    world.advance(GIVE_UP_MS);
    discord.faults.push({ status: 429, retryAfterS: 1 });
    await alarms();
    expect(await replies()).toMatchObject([{ state: "failed", token: null }]);
  });

  it("is given up a day after the clip's end when Discord never answers", async () => {
    world.advance(15 * MINUTE);
    discord.faults.push(...Array.from({ length: 3 }, () => ({ status: 500 }) as const));
    await alarm();
    world.advance(GIVE_UP_MS);
    await alarm();
    expect(await replies()).toMatchObject([{ state: "failed", last_error: "Discord answered 500 (code 0)" }]);
  });
});

describe("a clip that takes longer than the token lives", () => {
  it("says so before the token ends, then tells the end by a message of the bot", async () => {
    await link();
    const { id } = await clip();
    world.advance(15 * MINUTE - LAST_EDIT_MS);
    await alarms();
    expect(discord.original(id)?.content).toContain("you will be told by a new message");
    const before = discord.edits(id);
    world.advance(10 * MINUTE);
    await finish(await run());
    await alarms();
    expect(discord.edits(id)).toBe(before);
    expect(discord.posted).toHaveLength(1);
    expect(discord.posted[0]?.message.files).toEqual([FILES.mp4]);
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
    const answers = (await Promise.all(Array.from({ length: 5 }, async () => await clip()))).map(
      ({ answer }) => answer,
    );
    expect(answers.filter(({ type }) => type === 5)).toHaveLength(2);
    for (const answer of answers.filter(({ type }) => type === 4)) {
      expect(answer).toMatchObject({ data: { content: expect.stringContaining(refusal) as unknown } });
    }
    world.advance(24 * 60 * MINUTE);
    expect((await clip()).answer.type).toBe(5);
  });

  it("gives the room of a cancelled clip back, and counts each user for themselves", async () => {
    await link({ user_daily_clips: 1 });
    await clip();
    expect((await clip({}, { userId: "2" })).answer.type).toBe(5);
    expect((await clip()).answer.type).toBe(4);
    const { results } = await env.DB.prepare("select clip_id from chat_replies where user_id <> '2'").all();
    expect((await press(`cancel:${String(results[0]?.clip_id)}`)).answer).toEqual({ type: 6 });
    expect((await clip()).answer.type).toBe(5);
  });

  it("lets only its channels and roles order", async () => {
    await link({ channels: ["5"], roles: ["7", "8"] });
    expect(await said(command("clip", { prompt: "x" }, { roles: ["7"] }))).toContain("in this channel");
    expect(await said(command("clip", { prompt: "x" }, { channelId: "5" }))).toContain("takes a role");
    expect((await clip({}, { channelId: "5", roles: ["1", "8"] })).answer.type).toBe(5);
  });
});

describe("buttons and the other commands", () => {
  beforeEach(async () => await link());
  const ordered = async () => {
    await clip({ seed: 7 });
    const row = await env.DB.prepare("select clip_id from chat_replies").first<{ clip_id: string }>();
    return row?.clip_id ?? "";
  };

  it("makes a clip again with another seed, as an order of whoever pressed", async () => {
    const id = await ordered();
    const again = await press(`again:${id}`, { userId: "2" });
    expect(again.answer).toEqual({ type: 5 });
    const { results } = await env.DB.prepare("select seed, prompt from clips where id <> ?").bind(id).all();
    expect(results).toEqual([{ seed: expect.any(Number) as unknown, prompt: "a red ball" }]);
    expect(results[0]?.seed).not.toBe(7);
  });

  it("makes a clip again at 720p by the sister model, at the price that the button shows", async () => {
    await clip({ model: "turbowan2.1-t2v-14b-480p", size: "480x832", seed: 7 });
    const row = await env.DB.prepare("select clip_id from chat_replies").first<{ clip_id: string }>();
    expect((await press(`hd:${row?.clip_id}`)).answer).toEqual({ type: 5 });
    const wanted = "select model, size, seed, price_micros from clips where size = '720x1280'";
    expect(await env.DB.prepare(wanted).first()).toEqual({
      model: "turbowan2.1-t2v-14b-720p",
      size: "720x1280",
      seed: 7,
      price_micros: 220_000,
    });
  });

  it("lets who ordered and managers cancel, and shows it in the message", async () => {
    const id = await ordered();
    const stranger = await press(`cancel:${id}`, { userId: "2" });
    expect(stranger.answer).toMatchObject({
      type: 4,
      data: { content: expect.stringContaining("Only who ordered") as unknown },
    });
    expect((await press(`cancel:${id}`, { userId: "2", permissions: "32" })).answer).toEqual({ type: 6 });
    await alarms();
    expect(await replies()).toMatchObject([{ state: "delivered" }]);
  });

  it("knows no clips of the account's other callers", async () => {
    const other = await world.order(account);
    for (const action of ["again", "hd", "cancel"]) {
      const { answer } = await press(`${action}:${other.id}`);
      expect(answer).toMatchObject({ type: 4, data: { content: "There is no such clip in this server." } });
    }
    expect(await said(command("clip-status", { clip: other.id }))).toBe("There is no such clip in this server.");
  });

  it("shows the balance to managers, and help to everybody", async () => {
    expect(await said(command("balance"))).toContain("Manage Server");
    expect(await said(command("balance", {}, { permissions: "32" }))).toContain("$1.000000 can be spent");
    expect(await said(command("help"))).toContain("/clip prompt");
  });

  it("completes models with their price, and the sizes of the chosen model", async () => {
    const focus = async (options: object[]) => {
      const { answer } = await tell({ type: 4, data: { name: "clip", options } });
      return answer.type === 8 ? answer.data.choices : [];
    };
    expect(await focus([{ name: "model", value: "1.3B", focused: true }])).toEqual([
      { name: "turbowan2.1-t2v-1.3b-480p · $0.020000", value: "turbowan2.1-t2v-1.3b-480p" },
    ]);
    const sizes = await focus([
      { name: "model", value: "turbowan2.1-t2v-14b-720p" },
      { name: "size", value: "1280", focused: true },
    ]);
    expect(sizes.map(({ value }) => value)).toEqual(["1280x720", "720x1280"]);
  });
});
