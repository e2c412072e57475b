// What Slack sends to an app, as its pages show it, and how it signs that.

/** One person doing one thing in one place. */
export interface Occasion {
  readonly teamId: string;
  readonly userId: string;
  readonly channelId: string;
  readonly triggerId: string;
  readonly responseUrl: string;
}

const APP_ID = "A123456";
const utf8 = new TextEncoder();
const hex = (bytes: ArrayBuffer) => Array.from(new Uint8Array(bytes), (b) => b.toString(16).padStart(2, "0")).join("");

/** https://docs.slack.dev/authentication/verifying-requests-from-slack */
export async function signBody(secret: string, timestamp: string, body: string): Promise<Record<string, string>> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", utf8.encode(secret), algorithm, false, ["sign"]);
  const signature = await crypto.subtle.sign("HMAC", key, utf8.encode(`v0:${timestamp}:${body}`));
  return { "x-slack-signature": `v0=${hex(signature)}`, "x-slack-request-timestamp": timestamp };
}

/** https://docs.slack.dev/interactivity/implementing-slash-commands#app_command_handling */
export function commandBody(occasion: Occasion, text: string): string {
  return new URLSearchParams({
    token: "deprecated",
    team_id: occasion.teamId,
    team_domain: "example",
    channel_id: occasion.channelId,
    channel_name: "test",
    user_id: occasion.userId,
    user_name: "somebody",
    command: "/clip",
    text: text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;"),
    response_url: occasion.responseUrl,
    trigger_id: occasion.triggerId,
    api_app_id: APP_ID,
  }).toString();
}

function interactionBody(occasion: Occasion, payload: object): string {
  const { teamId, userId, channelId, triggerId, responseUrl } = occasion;
  const where = { team: { id: teamId }, user: { id: userId }, channel: { id: channelId } };
  const whole = { ...where, trigger_id: triggerId, response_url: responseUrl, api_app_id: APP_ID, ...payload };
  return new URLSearchParams({ payload: JSON.stringify(whole) }).toString();
}

/** https://docs.slack.dev/reference/interaction-payloads/block_actions-payload */
export function pressBody(occasion: Occasion, actionId: string, value: string): string {
  const action = { type: "button", action_id: actionId, block_id: "b", value, action_ts: "1.2" };
  return interactionBody(occasion, { type: "block_actions", actions: [action] });
}

/** https://docs.slack.dev/reference/interaction-payloads/shortcuts-interaction-payload */
export function shortcutBody(occasion: Occasion, callbackId: string, text: string): string {
  const message = { type: "message", user: "U1", ts: "1.2", text };
  return interactionBody(occasion, { type: "message_action", callback_id: callbackId, message });
}

/** https://docs.slack.dev/apis/events-api#callback-field */
export function eventBody(
  teamId: string,
  eventId: string,
  event: Readonly<Record<string, unknown>>,
  atMs: number,
): string {
  const where = { team_id: teamId, api_app_id: APP_ID, event_id: eventId };
  return JSON.stringify({ type: "event_callback", ...where, event, event_time: Math.floor(atMs / 1_000) });
}
