// From a command in a Slack workspace to the delivered file: the real Worker, a real runner with the demo model, and the
// double in Slack's place, which fails on the way as Slack does.
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import * as z from "zod";
import { createAccount } from "../../scripts/local/account.ts";
import { type SlackServer, startSlack } from "../support/slack/server.ts";
import { CREDIT_MICROS, type System, startSystem } from "./support.ts";

const MINUTES_MS = 120_000;
const MANIFEST = resolve(import.meta.dirname, "../../docs/slack-manifest.yaml");
const address = z.url().transform((text) => text.replace("https://api.example.com", ""));
/** The double sends where the manifest tells Slack to, so that what operators give to Slack is what is tested. */
const manifestSchema = z.object({
  features: z.object({
    shortcuts: z.tuple([z.object({ type: z.literal("message"), callback_id: z.string() })]),
    slash_commands: z.tuple([z.object({ command: z.literal("/clip"), url: address })]),
  }),
  oauth_config: z.object({ redirect_urls: z.tuple([address]), scopes: z.object({ bot: z.array(z.string()) }) }),
  settings: z.object({
    event_subscriptions: z.object({ request_url: address, bot_events: z.array(z.string()) }),
    interactivity: z.object({ request_url: address }),
  }),
});
type Manifest = z.output<typeof manifestSchema>;
let manifest: Manifest;
let server: SlackServer;
let system: System;

beforeAll(async () => {
  manifest = manifestSchema.parse(parse(await readFile(MANIFEST, "utf8")));
  server = await startSlack();
  system = await startSystem(server.slack.settings);
  await install();
  const { accountId } = await createAccount(system.edge, "customer", CREDIT_MICROS);
  const { code } = (await api("/v1/integrations/links", await managingKey(accountId), { platform: "slack" })) as {
    code: string;
  };
  expect(await clip(`link ${code}`, server.slack.installer)).toContain("is linked");
});
afterAll(async () => {
  await system?.close();
  server?.close();
});

async function api(path: string, token: string, body: unknown): Promise<unknown> {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const answer = await fetch(`${system.edge.origin}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return await answer.json();
}

async function managingKey(accountId: string): Promise<string> {
  const wanted = { name: "links", scopes: ["clips:read", "clips:write", "keys:write"] };
  const issued = await api(`/admin/v1/accounts/${accountId}/keys`, system.edge.adminToken, wanted);
  return (issued as { key: string }).key;
}

/** As the browser of somebody who lets the app in. */
async function install(): Promise<void> {
  const origin = system.edge.origin;
  const asked = await fetch(`${origin}/integrations/slack/install`, { redirect: "manual" });
  const wanted = new URL(asked.headers.get("location") ?? "").searchParams;
  expect(wanted.get("scope")?.split(",")).toEqual(manifest.oauth_config.scopes.bot);
  const [path] = manifest.oauth_config.redirect_urls;
  expect(wanted.get("redirect_uri")).toMatch(new RegExp(`${path}$`));
  const state = wanted.get("state") ?? "";
  const cookie = (asked.headers.get("set-cookie") ?? "").split(";")[0] ?? "";
  const back = new URLSearchParams({ code: server.slack.code, state });
  const done = await fetch(`${origin}${path}?${back.toString()}`, { headers: { cookie } });
  expect(await done.text()).toContain("turboclip is installed in Example");
}

async function post(path: string, body: string): Promise<Response> {
  return await server.slack.deliver(body, async (headers, text) => {
    const url = `${system.edge.origin}${path}`;
    const type = text.startsWith("{") ? "application/json" : "application/x-www-form-urlencoded";
    return await fetch(url, { method: "POST", headers: { ...headers, "content-type": type }, body: text });
  });
}

/** What `/clip text` is answered. */
async function clip(text: string, userId = server.slack.userId): Promise<string> {
  const [{ url }] = manifest.features.slash_commands;
  const answer = await post(url, server.slack.command(text, { userId }));
  return z.object({ text: z.string() }).parse(await answer.json()).text;
}

const isMp4 = (file: Uint8Array | undefined) =>
  file !== undefined && new TextDecoder().decode(file.subarray(4, 8)) === "ftyp";
const isJpeg = (file: Uint8Array | undefined) => file?.[0] === 0xff && file[1] === 0xd8;

test(
  "a clip ordered before the edge is killed arrives once, as files, through 500s, 429s and broken connections",
  async () => {
    const { slack } = server;
    expect(await clip("a red ball model=turboclip-demo")).toMatch(/^Ordered for \$0\.000408\./);
    await system.edge.service.kill();
    slack.faults.push({ status: 500 }, "no answer", { status: 429, retryAfterS: 1 }, "lost");
    await system.restartEdge();
    await system.startRunner("runner");
    await slack.until(() => slack.seen.some(({ text }) => text.startsWith("Your clip is ready.")));
    const posts = slack.seen.filter(({ by }) => by === "files");
    expect(posts.map(({ files: [mp4, poster] }) => [isMp4(mp4), isJpeg(poster)])).toEqual([[true, true]]);
    expect(posts[0]?.text).toContain("It cost $0.000408.");
    expect(slack.faults).toEqual([]);
  },
  MINUTES_MS,
);

test(
  "files that Slack took right before the edge was killed are there once, and the words follow",
  async () => {
    const { slack } = server;
    const mine = () => slack.seen.filter(({ text }) => text.startsWith("<@U7>"));
    await post(manifest.features.slash_commands[0].url, slack.command("a lamp model=turboclip-demo", { userId: "U7" }));
    await slack.until(() => mine().some(({ by }) => by === "files"));
    await system.edge.service.kill(); // whether it had written that down nobody knows
    await system.restartEdge();
    await slack.until(() =>
      slack.seen.some(({ only, text }) => only === "U7" && text.startsWith("Your clip is ready.")),
    );
    expect(mine().filter(({ by }) => by === "files")).toHaveLength(1);
  },
  MINUTES_MS,
);

test(
  "a clip in a channel without the bot arrives as a link that opens, and its button orders another",
  async () => {
    const { slack } = server;
    slack.joined.clear();
    await clip("a blue ball model=turboclip-demo");
    const linked = await slack.until(() => slack.seen.find(({ text }) => text.includes("|watch it>")));
    expect(linked.only).toBeNull();
    const url = /<([^|>]+)\|watch it>/.exec(linked.text)?.[1]?.replaceAll("&amp;", "&") ?? "";
    expect(isMp4(new Uint8Array(await (await fetch(url)).arrayBuffer()))).toBe(true);

    const actions = linked.blocks.find((block) => block.type === "actions");
    const again = actions?.type === "actions" ? actions.elements[0] : undefined;
    expect(again?.text.text).toBe("Again · $0.000408");
    slack.joined.add(slack.channelId);
    const before = slack.seen.filter(({ by }) => by === "files").length;
    await post(manifest.settings.interactivity.request_url, slack.press(again?.action_id ?? "", again?.value ?? ""));
    await slack.until(() => slack.seen.filter(({ by }) => by === "files").length > before);
  },
  MINUTES_MS,
);

test(
  "a message becomes a clip by its shortcut",
  async () => {
    const { slack } = server;
    const [{ callback_id: callbackId }] = manifest.features.shortcuts;
    const body = slack.shortcut("a cat &amp; a dog", { userId: "U3" }, callbackId);
    await post(manifest.settings.interactivity.request_url, body);
    await slack.until(() => slack.seen.some(({ by, text }) => by === "files" && text.startsWith("<@U3>")));
    expect(slack.seen.find(({ by, text }) => by === "files" && text.startsWith("<@U3>"))?.text).toContain(
      "a cat &amp; a dog",
    );
  },
  MINUTES_MS,
);

test(
  "a workspace that removes the app can order nothing more",
  async () => {
    const { slack } = server;
    const { request_url: url, bot_events: events } = manifest.settings.event_subscriptions;
    expect(events).toEqual(["app_home_opened", "app_uninstalled", "tokens_revoked"]);
    await post(url, slack.event({ type: "app_home_opened", user: slack.installer, tab: "home" }));
    expect(JSON.stringify(slack.homes.get(slack.installer))).toContain("Your last clips");
    await post(url, slack.event({ type: "app_uninstalled" }));
    expect(await clip("a green ball model=turboclip-demo")).toContain("not linked");
  },
  MINUTES_MS,
);
