// Slack's double behind a socket, and what the edge must be told to take it for Slack.
import { serve } from "../serve.ts";
import { SlackDouble } from "./double.ts";

export interface SlackServer {
  readonly slack: SlackDouble;
  readonly close: () => void;
}

export async function startSlack(): Promise<SlackServer> {
  const slack = new SlackDouble();
  const { origin, close } = await serve(slack);
  slack.origin = origin;
  return { slack, close };
}
