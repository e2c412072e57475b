// Buttons, the shortcut, the Home tab, and the commands that order nothing.
import { beforeEach, describe, expect, it } from "vitest";
import { env } from "../support/env.ts";
import { flakyDatabase } from "../support/flaky.ts";
import { DEMO_OPTION, Workspace } from "../support/slack.ts";

const flaky = flakyDatabase();
let team: Workspace;

const clipIds = async () => {
  const query = env.DB.prepare("select clip_id from chat_replies order by created_at_ms");
  return (await query.all<{ clip_id: string }>()).results.map(({ clip_id: id }) => id);
};

beforeEach(async () => {
  team = await Workspace.open(flaky);
});

describe("buttons, the shortcut and the other commands", () => {
  beforeEach(async () => {
    await team.install();
    await team.link();
  });
  const ordered = async (text = `a red ball seed=7 ${DEMO_OPTION}`) => {
    await team.type(text);
    return (await clipIds()).at(-1) ?? "";
  };

  it("makes a clip again with another seed, as an order of whoever pressed, and tells them", async () => {
    const id = await ordered();
    await team.interact(team.slack.press("again", id, { userId: "U2" }));
    const { results } = await env.DB.prepare("select seed, prompt from clips where id <> ?").bind(id).all();
    expect(results).toEqual([{ seed: expect.any(Number) as unknown, prompt: "a red ball" }]);
    expect(results[0]?.seed).not.toBe(7);
    team.world.advance(1_000);
    await team.alarm();
    expect(team.told()).toMatchObject([{ only: "U2", text: "Waiting in the queue, at place 2." }]);
  });

  it("makes a clip again at 720p by the sister model, at the price that the button shows", async () => {
    const id = await ordered("a ball model=turbowan2.1-t2v-14b-480p size=480x832 seed=7");
    await team.interact(team.slack.press("hd", id));
    const wanted = "select model, size, seed, price_micros from clips where size = '720x1280'";
    expect(await env.DB.prepare(wanted).first()).toEqual({
      model: "turbowan2.1-t2v-14b-720p",
      size: "720x1280",
      seed: 7,
      price_micros: 220_000,
    });
  });

  it("orders once though a press is told twice", async () => {
    const press = team.slack.press("again", await ordered());
    await team.interact(press);
    await team.interact(press);
    expect(await clipIds()).toHaveLength(2);
  });

  it("lets who ordered and managers cancel, and tells it", async () => {
    const id = await ordered();
    await team.interact(team.slack.press("cancel", id, { userId: "U2" }));
    expect(team.told()).toMatchObject([{ only: "U2", text: expect.stringContaining("Only who ordered") as unknown }]);
    await team.interact(team.slack.press("cancel", id, { userId: team.slack.installer }));
    await team.alarms();
    expect(team.told().at(-1)?.text).toBe("The clip was cancelled and cost nothing.");
    expect(await team.replies()).toMatchObject([{ state: "delivered" }]);
  });

  it("knows no clips of the account's other callers", async () => {
    const other = await team.world.order(team.account);
    for (const action of ["again", "hd", "cancel"]) await team.interact(team.slack.press(action, other.id));
    expect(team.told().map(({ text }) => text)).toEqual(Array(3).fill("There is no such clip in this workspace."));
    expect(await team.type(`status ${other.id}`)).toBe("There is no such clip in this workspace.");
  });

  it("has Slack show an error of its own where a refusal did not reach it", async () => {
    team.slack.faults.push("no answer");
    await expect(team.interact(team.slack.press("cancel", "clip_01j9z3k4m5n6p7q8r9s0t1v2w3"))).rejects.toThrow(
      "could not be shown",
    );
  });

  it("makes a clip of a message by the shortcut", async () => {
    await team.interact(team.slack.shortcut("a cat &amp; a dog"));
    expect(await env.DB.prepare("select prompt from clips").first()).toEqual({ prompt: "a cat & a dog" });
    await team.interact(team.slack.shortcut("  "));
    expect(team.told().at(-1)?.text).toBe("Say what the clip shows.");
  });

  it("takes of a message's markup what people read", async () => {
    const text = "<@U2> likes <https://example.com|cats> &lt;3 <#C1|pets> <!here> <https://example.org>";
    await team.interact(team.slack.shortcut(text));
    expect(await env.DB.prepare("select prompt from clips").first()).toEqual({
      prompt: "likes cats <3 #pets https://example.org",
    });
  });

  it("shows the balance to who manages the workspace, and help to everybody", async () => {
    expect(await team.type("balance")).toContain("for who installed turboclip here");
    expect(await team.type("balance", { userId: team.slack.installer })).toContain("$1.000000 can be spent");
    expect(await team.type("")).toContain("/clip a red ball");
    expect(await team.type("help")).toContain("/clip a red ball");
  });

  it("shows at home the last clips, and the balance to who manages the workspace", async () => {
    await ordered();
    const home = async (user: string) => {
      await team.hear({ type: "app_home_opened", user, tab: "home" });
      return JSON.stringify(team.slack.homes.get(user));
    };
    expect(await home(team.slack.userId)).toContain("a red ball");
    expect(await home(team.slack.userId)).not.toContain("can be spent");
    expect(await home(team.slack.installer)).toContain("$0.999592 can be spent");
    expect(await home(team.slack.installer)).toContain("You have ordered no clip here yet");
  });

  it("has Slack tell again of a Home tab that could not be shown", async () => {
    team.slack.faults.push({ status: 500 });
    const opened = { type: "app_home_opened", user: team.slack.installer, tab: "home" };
    await expect(team.hear(opened)).rejects.toThrow("Home tab");
    await team.hear(opened);
    expect(team.slack.homes.has(team.slack.installer)).toBe(true);
  });
});
