// Letting the app into a workspace by OAuth 2. The state binds Slack's answer to the browser that asked: it is signed, ends
// after minutes, and names a nonce that only this browser's cookie has.
// https://docs.slack.dev/authentication/installing-with-oauth
import { ApiError } from "../../../shared/errors.ts";
import { install } from "../../services/chats/installations.ts";
import { base64url, equalInConstantTime } from "../../services/encoding.ts";
import type { Ports, SigningKey } from "../../services/ports.ts";
import type { SlackApplication } from "./application.ts";
import type { Answering } from "./people.ts";
import { workspace } from "./people.ts";

const AUTHORIZE_URL = "https://slack.com/oauth/v2/authorize";
export const OAUTH_PATH = "/integrations/slack/oauth";
/** What docs/slack-manifest.yaml declares, too. */
export const SCOPES = ["chat:write", "commands", "files:read", "files:write", "users:read"] as const;
const STATE_MS = 10 * 60_000;
const NONCE_BYTES = 16;

async function signature({ digest }: Pick<Ports, "digest">, key: SigningKey, nonce: string, expires: string) {
  return base64url(await digest.hmacSha256(key.secret, ["turboclip slack install 1", nonce, expires].join("\n")));
}

export interface Asked {
  /** Where the browser goes. */
  readonly url: string;
  /** For the browser's cookie. */
  readonly nonce: string;
}

type Source = Pick<Ports, "digest" | "clock" | "random" | "signingKeys" | "publicOrigin">;

export async function askToInstall(ports: Source, { clientId }: SlackApplication): Promise<Asked> {
  const nonce = base64url(ports.random.bytes(NONCE_BYTES));
  const expires = String(ports.clock.now() + STATE_MS);
  const query = new URLSearchParams({
    client_id: clientId,
    scope: SCOPES.join(","),
    redirect_uri: `${ports.publicOrigin}${OAUTH_PATH}`,
    state: `${expires}.${await signature(ports, ports.signingKeys[0], nonce, expires)}`,
  });
  return { url: `${AUTHORIZE_URL}?${query.toString()}`, nonce };
}

export interface Returned {
  readonly code: string;
  readonly state: string;
  /** Of the cookie. */
  readonly nonce: string;
}

/** Returns the workspace's name. Throws unauthenticated, expired, invalid_request. */
export async function finishInstall({ ports, api }: Answering, { code, state, nonce }: Returned): Promise<string> {
  const [expires = "", sig = ""] = state.split(".");
  const expected = await Promise.all(ports.signingKeys.map(async (key) => await signature(ports, key, nonce, expires)));
  if (nonce === "" || expected.filter((genuine) => equalInConstantTime(sig, genuine)).length === 0) {
    throw new ApiError(
      "unauthenticated",
      "This browser did not ask to install turboclip; begin at /integrations/slack/install.",
    );
  }
  if (Number(expires) <= ports.clock.now()) {
    throw new ApiError("expired", "That took too long; begin again at /integrations/slack/install.");
  }
  const granted = await api.exchangeCode(code, `${ports.publicOrigin}${OAUTH_PATH}`);
  if (granted.kind === "refused") throw new ApiError("invalid_request", `Slack gave no token (${granted.error}).`);
  if (granted.kind !== "answered") throw new ApiError("internal", "Slack did not answer; begin again.");
  const { teamId, teamName, token, installedBy } = granted.value;
  await install(ports, workspace(teamId), { token, installedBy });
  return teamName;
}
