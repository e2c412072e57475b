// Where Slack sends commands, interactions and events, and where a browser lets the app in. Not under /v1: who calls is known
// by the signature, not by a key.
import type { Context } from "hono";
import { getCookie, setCookie } from "hono/cookie";
import { ApiError } from "../../../shared/errors.ts";
import type { EdgeApp, EdgeEnv } from "../../context.ts";
import { answerInteraction } from "./actions.ts";
import { slackApi } from "./api.ts";
import { isSlackUrl, type SlackApplication, slackOf } from "./application.ts";
import { answerCommand } from "./commands.ts";
import { hearEvent } from "./events.ts";
import { askToInstall, finishInstall, OAUTH_PATH } from "./oauth.ts";
import type { Answering } from "./people.ts";
import { requireSlack } from "./verify.ts";
import { commandSchema, eventSchema, interactionSchema } from "./wire.ts";

const BASE = "/integrations/slack";
/** Of the three seconds in which Slack wants its answer; two calls may follow one another. */
const CALL_MS = 1_200;
const COOKIE = "__Host-turboclip-slack";
const COOKIE_S = 600;

function applicationOf(c: Context<EdgeEnv>): SlackApplication {
  const application = slackOf(c.get("settings"));
  if (application !== null) return application;
  throw new ApiError("not_found", "This deployment has no Slack app; its settings SLACK_* name one (docs/slack.md).");
}

function answering(c: Context<EdgeEnv>, application: SlackApplication): Answering {
  return { ports: c.get("ports"), api: slackApi(application, async (request) => await fetch(request), CALL_MS) };
}

/** Forms and JSON alike, to the byte. */
async function bodyOf(c: Context<EdgeEnv>): Promise<string> {
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await c.req.arrayBuffer());
}

/** The body, as it was signed. Throws unauthenticated. */
async function signedBody(c: Context<EdgeEnv>, { signingSecret }: SlackApplication): Promise<string> {
  const body = await bodyOf(c);
  const signature = c.req.header("x-slack-signature");
  await requireSlack(c.get("ports"), signingSecret, {
    signature,
    timestamp: c.req.header("x-slack-request-timestamp"),
    body,
  });
  return body;
}

function requireSlackUrl(
  application: SlackApplication,
  { response_url: url }: { readonly response_url: string },
): void {
  if (!isSlackUrl(application, url)) throw new ApiError("invalid_request", "The response_url is not one of Slack's.");
}

export function registerSlack(app: EdgeApp): void {
  app.post(`${BASE}/commands`, async (c) => {
    const application = applicationOf(c);
    // Slack looks now and then whether our certificate is good, and wants no more than a 200.
    // https://docs.slack.dev/interactivity/implementing-slash-commands#app_command_handling
    if (new URLSearchParams(await bodyOf(c)).get("ssl_check") === "1") return c.body(null, 200);
    const form = new URLSearchParams(await signedBody(c, application));
    const command = commandSchema.safeParse(Object.fromEntries(form));
    if (!command.success) throw new ApiError("invalid_request", "This is no slash command of turboclip's.");
    requireSlackUrl(application, command.data);
    const message = await answerCommand(answering(c, application), command.data);
    return c.json({ ...message, response_type: "ephemeral" });
  });

  app.post(`${BASE}/interactions`, async (c) => {
    const application = applicationOf(c);
    const payload = new URLSearchParams(await signedBody(c, application)).get("payload");
    const interaction = interactionSchema.safeParse(parse(payload ?? ""));
    if (!interaction.success)
      throw new ApiError("invalid_request", "This is no interaction with turboclip's messages.");
    requireSlackUrl(application, interaction.data);
    await answerInteraction(answering(c, application), interaction.data);
    return c.body(null, 200);
  });

  app.post(`${BASE}/events`, async (c) => {
    const application = applicationOf(c);
    const event = eventSchema.safeParse(parse(await signedBody(c, application)));
    if (!event.success) throw new ApiError("invalid_request", "This is no event that turboclip asks for.");
    if (event.data.type === "url_verification") return c.json({ challenge: event.data.challenge });
    if (event.data.type === "event_callback") await hearEvent(answering(c, application), event.data);
    return c.body(null, 200);
  });

  app.get(`${BASE}/install`, async (c) => {
    const { url, nonce } = await askToInstall(c.get("ports"), applicationOf(c));
    setCookie(c, COOKIE, nonce, { path: "/", secure: true, httpOnly: true, sameSite: "Lax", maxAge: COOKIE_S });
    return c.redirect(url, 302);
  });

  app.get(OAUTH_PATH, async (c) => {
    const application = applicationOf(c);
    const { code, state = "" } = c.req.query();
    if (code === undefined)
      throw new ApiError("invalid_request", "Slack gave no code: the installation was not allowed.");
    const returned = { code, state, nonce: getCookie(c, COOKIE) ?? "" };
    const team = await finishInstall(answering(c, application), returned);
    const next = "Invite the app to channels that should get clips as files, and link the workspace by /clip link.";
    return c.text(`turboclip is installed in ${team}. ${next}\n`, 200, { "cache-control": "no-store" });
  });
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw new ApiError("invalid_request", "What Slack sends here is JSON.");
  }
}
