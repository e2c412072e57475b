// Letting the app into a workspace, linking it to an account, and leaving.
import { beforeEach, describe, expect, it } from "vitest";
import { askToInstall, SCOPES } from "../../../edge/integrations/slack/oauth.ts";
import { env } from "../support/env.ts";
import { flakyDatabase } from "../support/flaky.ts";
import { expectInvariants } from "../support/invariants.ts";
import { DEMO_OPTION, Workspace } from "../support/slack.ts";

const MINUTE = 60_000;
const flaky = flakyDatabase();
let team: Workspace;

beforeEach(async () => {
  team = await Workspace.open(flaky);
});

describe("installing", () => {
  it("keeps the bot's token of each workspace, sealed", async () => {
    expect(await team.install()).toBe("Example");
    const { results } = await env.DB.prepare("select * from chat_installations").all();
    expect(results).toMatchObject([
      { platform: "slack", place_id: team.slack.teamId, installed_by: team.slack.installer },
    ]);
    expect(JSON.stringify(results)).not.toContain(team.slack.botToken);
  });

  it.each([
    ["another browser's cookie", { nonce: "bm9uY2Utb2YtYW5vdGhlcg" }, "did not ask"],
    ["no cookie", { nonce: "" }, "did not ask"],
    ["a state with a later end", { state: "9999999999999.c2ln" }, "did not ask"],
    ["a code that Slack does not know", { code: "stolen" }, "invalid_code"],
  ])("refuses %s", async (_, wrong, refusal) => {
    await expect(team.install(wrong)).rejects.toThrow(refusal);
    expect((await env.DB.prepare("select * from chat_installations").all()).results).toEqual([]);
  });

  it("refuses a state that is older than ten minutes", async () => {
    const allowed = await team.allowed();
    team.world.advance(10 * MINUTE);
    await expect(team.install(allowed)).rejects.toThrow("too long");
  });

  it("asks for the scopes that its calls need", async () => {
    const { url } = await askToInstall(team.world.ports, team.application);
    expect(new URL(url).searchParams.get("scope")).toBe(SCOPES.join(","));
  });
});

describe("linking", () => {
  it("refuses to order in a workspace that is not linked, and says how to link it", async () => {
    expect(await team.type("a red ball")).toContain("/clip link");
  });

  it("links by who installed the app and by admins, and by nobody else", async () => {
    await team.install();
    const given = await team.code();
    expect(await team.type(`link ${given}`)).toContain("for who installed turboclip here");
    team.slack.admins.add(team.slack.userId);
    expect(await team.type(`link ${given}`)).toContain("is linked");
    expect(await team.type(`a red ball ${DEMO_OPTION}`)).toContain("Ordered for $0.000408.");
    expect(await team.type(`link ${await team.code()}`, { userId: team.slack.installer })).toContain("linked already");
  });

  it("does not take Slack's silence for a yes", async () => {
    await team.install();
    team.slack.faults.push("no answer");
    expect(await team.type(`link ${await team.code()}`)).toContain("did not say in time");
  });

  it("says where to install the app where it is not", async () => {
    expect(await team.type(`link ${await team.code()}`)).toContain("https://clips.test/integrations/slack/install");
  });

  it("has no roles, and says so", async () => {
    await expect(team.code({ roles: ["R1"] })).rejects.toThrow("no roles");
  });
});

describe("leaving", () => {
  beforeEach(async () => {
    await team.install();
    await team.link();
    await team.type(`a red ball ${DEMO_OPTION}`);
    team.world.advance(1_000);
  });
  const left = async () => ({
    installations: (await env.DB.prepare("select * from chat_installations").all()).results.length,
    links: (await env.DB.prepare("select * from chat_links where unlinked_at_ms is null").all()).results.length,
    replies: await team.replies(),
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
    await team.hear(event);
    expect(await left()).toEqual(gone);
    await team.hear(event);
    expect(await left()).toEqual(gone);
    expect(await team.type(`x ${DEMO_OPTION}`)).toContain("not linked");
    await expectInvariants();
  });

  it("does not mind when a person's own token is revoked", async () => {
    await team.hear({ type: "tokens_revoked", tokens: { oauth: ["U1"] } });
    expect(await left()).toMatchObject({ installations: 1, links: 1, replies: [{ state: "pending" }] });
  });

  it("keeps what was installed and linked anew when the old leaving is told of late", async () => {
    const uninstalledAtMs = team.world.nowMs;
    await team.hear({ type: "app_uninstalled" });
    team.world.advance(5 * MINUTE);
    await team.install();
    await team.link();
    await team.hear({ type: "tokens_revoked", tokens: { bot: ["U0KRQLJ9H"] } }, uninstalledAtMs);
    expect(await left()).toMatchObject({ installations: 1, links: 1 });
  });
});
