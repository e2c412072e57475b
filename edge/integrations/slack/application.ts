// The Slack app of this deployment, if its settings name one.
import type { Settings } from "../../settings.ts";

export interface SlackApplication {
  readonly clientId: string;
  readonly clientSecret: string;
  readonly signingSecret: string;
  /** Slack's Web API, without a slash at the end. */
  readonly apiUrl: string;
}

export function slackOf(settings: Settings): SlackApplication | null {
  const {
    SLACK_CLIENT_ID: clientId,
    SLACK_CLIENT_SECRET: clientSecret,
    SLACK_SIGNING_SECRET: signingSecret,
  } = settings;
  if (clientId === undefined || clientSecret === undefined || signingSecret === undefined) return null;
  return { clientId, clientSecret, signingSecret, apiUrl: settings.SLACK_API_URL };
}

/** Whether a URL that Slack gave us is on the API's host or below it, as hooks.slack.com and files.slack.com are. */
export function isSlackUrl({ apiUrl }: SlackApplication, text: string): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  const api = new URL(apiUrl);
  return url.protocol === api.protocol && (url.host === api.host || url.host.endsWith(`.${api.host}`));
}
