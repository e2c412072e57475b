// The endpoints as Slack meets them: signatures to the byte, the two checks of its own, and a deployment without an app.
import { beforeEach, describe, expect, it, vi } from "vitest";
import { createApp } from "../../../edge/app.ts";
import { isSlackUrl } from "../../../edge/integrations/slack/application.ts";
import { signatureOf } from "../../../edge/integrations/slack/verify.ts";
import { CHAT_LIMITS } from "../../../shared/contract/chats.ts";
import { SlackDouble } from "../../support/slack/double.ts";
import { env } from "../support/env.ts";
import { flakyDatabase } from "../support/flaky.ts";
import { expectProblem } from "../support/http.ts";
import { DEMO_OPTION, Workspace } from "../support/slack.ts";
import { freshDeployment, World } from "../support/world.ts";

const app = createApp();
const BASE = "/integrations/slack";
const CHALLENGE = JSON.stringify({ type: "url_verification", token: "x", challenge: "3eZbrw1aBm2rZgRNFdxV2595" });
const flaky = flakyDatabase();
let slack: SlackDouble;

beforeEach(async () => {
  await freshDeployment();
  slack = new SlackDouble();
});

async function post(path: string, body: string, headers: Record<string, string>, settings: object = slack.settings) {
  return await app.request(`${BASE}/${path}`, { method: "POST", body, headers }, { ...env, ...settings });
}

it("computes the signature of Slack's own example", async () => {
  // https://docs.slack.dev/authentication/verifying-requests-from-slack
  const body =
    "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar" +
    "&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=" +
    "&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN" +
    "&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
  expect(await signatureOf(new World().ports, "8f742231b10e8888abcd99yyyzzz85a5", "1531420618", body)).toBe(
    "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
  );
});

describe("signatures", () => {
  it("lets in what Slack signs, and answers its challenge", async () => {
    const answer = await slack.deliver(CHALLENGE, async (headers, body) => await post("events", body, headers));
    expect(await answer.json()).toEqual({ challenge: "3eZbrw1aBm2rZgRNFdxV2595" });
  });

  const at = (seconds: number) => String(Math.floor(Date.now() / 1_000) + seconds);

  it.each([
    ["in 290 s", 290],
    ["290 s ago", -290],
  ])("takes a signature of %s", async (_, seconds) => {
    expect((await post("events", CHALLENGE, await slack.sign(CHALLENGE, at(seconds)))).status).toBe(200);
  });

  it.each<[string, (headers: Record<string, string>) => Promise<Record<string, string>> | Record<string, string>]>([
    ["no signature", () => ({})],
    ["a signature of another body", async () => await slack.sign(`${CHALLENGE} `)],
    [
      "a changed timestamp",
      (h) => ({ ...h, "x-slack-request-timestamp": String(Number(h["x-slack-request-timestamp"]) + 1) }),
    ],
    ["a timestamp that is no number", async () => await slack.sign(CHALLENGE, "now")],
    ["another version", (h) => ({ ...h, "x-slack-signature": String(h["x-slack-signature"]).replace("v0", "v1") })],
    ["a time 310 s ago", async () => await slack.sign(CHALLENGE, at(-310))],
    ["a time in 310 s", async () => await slack.sign(CHALLENGE, at(310))],
  ])("answers 401 to %s", async (_, change) => {
    const headers = await change(await slack.sign(CHALLENGE));
    for (const path of ["events", "commands", "interactions"]) {
      await expectProblem(await post(path, CHALLENGE, headers), "unauthenticated");
    }
  });
});

it("answers the certificate check by an empty 200, which says nothing and does nothing", async () => {
  const answer = await post("commands", "ssl_check=1&token=x", {});
  expect(answer.status).toBe(200);
  expect(await answer.text()).toBe("");
});

it.each([
  ["commands", "text=x"],
  ["interactions", "payload=%7B"],
  ["interactions", "payload=%7B%22type%22%3A%22view_submission%22%7D"],
  ["events", "{"],
  ["events", JSON.stringify({ type: "event_callback", event: { type: "app_uninstalled" } })],
])("refuses at %s what is signed and no use: %s", async (path, body) => {
  await expectProblem(await post(path, body, await slack.sign(body)), "invalid_request");
});

it("refuses a response_url that is not Slack's", async () => {
  const body = slack.command("help").replace("slack.test", "evil.test");
  await expectProblem(await post("commands", body, await slack.sign(body)), "invalid_request");
});

it.each([
  ["https://hooks.slack.com/commands/T1/2/3", true],
  ["https://slack.com/api/x", true],
  ["http://hooks.slack.com/commands/T1/2/3", false],
  ["https://hooks.slack.com.evil.test/", false],
  ["https://evilslack.com/", false],
  ["https://hooks.slack.com:8443/", false],
  ["hooks.slack.com", false],
])("takes %s for a URL of Slack's: %s", (url, expected) => {
  const application = { clientId: "1", clientSecret: "x", signingSecret: "x", apiUrl: "https://slack.com/api" };
  expect(isSlackUrl(application, url)).toBe(expected);
});

it.each([{ type: "app_rate_limited" }, { type: "event_callback", event: { type: "message" } }])(
  "takes note of events that it has no use for: %j",
  async (event) => {
    const body = JSON.stringify(event);
    expect((await post("events", body, await slack.sign(body))).status).toBe(200);
  },
);

it("takes a message as long as Slack's own, and no body beyond its limit", async () => {
  const long = slack.command("ж".repeat(12_000));
  expect(long.length).toBeGreaterThan(64 * 1024);
  expect((await post("commands", long, await slack.sign(long))).status).toBe(200);
  const endless = "x".repeat(CHAT_LIMITS.bodyBytes + 1);
  await expectProblem(await post("commands", endless, await slack.sign(endless)), "body_too_large");
});

it("shows a command's answer to whoever typed it", async () => {
  await slack.deliver(slack.command("help"), async (headers, body) => await post("commands", body, headers));
  expect(slack.seen).toMatchObject([{ by: "acknowledgement", only: slack.userId }]);
  expect(slack.seen[0]?.text).toContain("/clip status");
});

it("writes no line that holds a prompt, a response_url, a code, a state or a secret", async () => {
  const team = await Workspace.open(flaky);
  team.world.nowMs = Date.now(); // the routes go by the real clock
  await team.link();
  const lines: string[] = [];
  for (const method of ["debug", "log", "info", "warn", "error"] as const) {
    vi.spyOn(console, method).mockImplementation((...words: unknown[]) => void lines.push(words.map(String).join(" ")));
  }
  const prompt = "what somebody had in mind";
  const order = team.slack.command(`${prompt} ${DEMO_OPTION}`);
  const say = async (body: string) => await post("commands", body, await team.slack.sign(body));
  const answer = await say(order);
  expect(await answer.text()).toContain("Ordered for");
  expect((await post("commands", order, {})).status).toBe(401);
  const callback = `${BASE}/oauth?code=code-of-slack&state=state-of-a-browser`;
  expect((await app.request(callback, {}, { ...env, ...slack.settings })).status).toBe(401);
  await env.DB.prepare("alter table clips rename to clips_away").run();
  expect((await say(team.slack.command(`${prompt} again ${DEMO_OPTION}`))).status).toBe(500);
  vi.restoreAllMocks();
  expect(lines.filter((line) => line.includes('"request"')).length).toBeGreaterThanOrEqual(4);
  const url = new URLSearchParams(order).get("response_url") ?? "";
  for (const secret of [prompt, url, "code-of-slack", "state-of-a-browser", slack.signingSecret, slack.clientSecret]) {
    expect(lines.join("\n")).not.toContain(secret);
  }
});

it("says which settings are missing where there is no app", async () => {
  for (const path of ["commands", "interactions", "events"]) {
    const detail = await expectProblem(await post(path, CHALLENGE, await slack.sign(CHALLENGE), {}), "not_found");
    expect(detail).toContain("SLACK_");
  }
});

it("does not start with half of an app", async () => {
  const half = { SLACK_SIGNING_SECRET: slack.signingSecret };
  expect((await post("events", CHALLENGE, await slack.sign(CHALLENGE), half)).status).toBe(500);
});

it("sends the browser to Slack with a state that only its cookie completes", async () => {
  const answer = await app.request(`${BASE}/install`, {}, { ...env, ...slack.settings });
  expect(answer.status).toBe(302);
  const url = new URL(answer.headers.get("location") ?? "");
  expect(url.origin + url.pathname).toBe("https://slack.com/oauth/v2/authorize");
  expect(url.searchParams.get("redirect_uri")).toBe("https://clips.test/integrations/slack/oauth");
  expect(answer.headers.get("set-cookie")).toMatch(/^__Host-.*Max-Age=600; Path=\/; HttpOnly; Secure; SameSite=Lax$/);
  const state = url.searchParams.get("state") ?? "";
  const back = `${BASE}/oauth?${new URLSearchParams({ code: "c", state }).toString()}`;
  await expectProblem(await app.request(back, {}, { ...env, ...slack.settings }), "unauthenticated");
  const denied = await app.request(`${BASE}/oauth?error=access_denied`, {}, { ...env, ...slack.settings });
  await expectProblem(denied, "invalid_request");
});
