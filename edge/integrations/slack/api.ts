// The calls of Slack's Web API that we make, and what their answers mean. Arguments go as a form, which every method takes.
// https://docs.slack.dev/apis/web-api/
import type { HomeView } from "@slack/types";
import * as z from "zod";
import type { SendOutcome } from "../../services/chats/deliver.ts";
import { isSlackUrl, type SlackApplication } from "./application.ts";
import type { SlackMessage } from "./message.ts";

const TIMEOUT_MS = 30_000;
const DEFAULT_RETRY_MS = 5_000;
const MAX_RETRY_MS = 15 * 60_000;
/** Slack's own troubles, not ours. https://docs.slack.dev/reference/methods/chat.postMessage#errors */
const TRANSIENT = new Set(["internal_error", "fatal_error", "service_unavailable", "request_timeout"]);

type Fault = Exclude<SendOutcome, { kind: "sent" }>;
export type Answer<T> = { readonly kind: "answered"; readonly value: T } | Fault;

export interface Upload {
  readonly url: string;
  readonly id: string;
}
export interface Granted {
  readonly teamId: string;
  readonly teamName: string;
  readonly token: string;
  readonly installedBy: string;
}

export interface SlackApi {
  /** By a response_url, five times within its 30 minutes; each makes a message of its own (decision 0104). */
  respond(url: string, message: SlackMessage, visibility: "ephemeral" | "in_channel"): Promise<SendOutcome>;
  postMessage(token: string, channelId: string, message: SlackMessage): Promise<SendOutcome>;
  startUpload(token: string, fileName: string, bytes: number): Promise<Answer<Upload>>;
  upload(url: string, file: ArrayBuffer): Promise<SendOutcome>;
  /** Posts what was uploaded, as one message. */
  completeUpload(token: string, ids: readonly string[], channelId: string, comment: string): Promise<SendOutcome>;
  isShared(token: string, fileId: string, channelId: string): Promise<Answer<boolean>>;
  isAdmin(token: string, userId: string): Promise<Answer<boolean>>;
  publishHome(token: string, userId: string, view: HomeView): Promise<SendOutcome>;
  exchangeCode(code: string, redirectUri: string): Promise<Answer<Granted>>;
}

export type Fetch = (request: Request) => Promise<Response>;

const envelope = z.object({ ok: z.boolean(), error: z.string().max(200).optional() });
const uploadSchema = z.object({ upload_url: z.url(), file_id: z.string().regex(/^[A-Z0-9]{2,32}$/) });
const ids = z.array(z.string()).default([]);
const fileSchema = z.object({ file: z.object({ channels: ids, groups: ids, ims: ids }) });
const flag = z.boolean().default(false);
const userSchema = z.object({ user: z.object({ is_admin: flag, is_owner: flag }) });
const id = z.string().regex(/^[A-Z0-9]{2,32}$/);
/** https://docs.slack.dev/reference/methods/oauth.v2.access */
const accessSchema = z.object({
  access_token: z.string().min(1),
  token_type: z.literal("bot"),
  team: z.object({ id, name: z.string().default("") }),
  authed_user: z.object({ id }),
});

/** `timeoutMs`: shorter where a person waits for the answer. */
export function slackApi(application: SlackApplication, fetch: Fetch, timeoutMs = TIMEOUT_MS): SlackApi {
  async function send(url: string, headers: Record<string, string>, body: BodyInit): Promise<Answer<string>> {
    try {
      const signal = AbortSignal.timeout(timeoutMs);
      const response = await fetch(new Request(url, { method: "POST", headers, body, signal, redirect: "manual" }));
      return readStatus(response, await response.text());
    } catch (error) {
      // What fetch says may name the URL, and a response_url is as good as a token.
      const timedOut = error instanceof Error && error.name === "TimeoutError";
      return { kind: "failed", error: timedOut ? "no answer in time" : "no connection" };
    }
  }

  async function call<T>(
    method: string,
    authorization: string,
    args: Record<string, string>,
    schema: z.ZodType<T>,
  ): Promise<Answer<T>> {
    const answer = await send(`${application.apiUrl}/${method}`, { authorization }, new URLSearchParams(args));
    return answer.kind === "answered" ? readEnvelope(method, answer.value, schema) : answer;
  }

  const bearer = (token: string) => `Bearer ${token}`;

  return {
    async respond(url, message, visibility) {
      const payload = { ...message, response_type: visibility, replace_original: false };
      return sent(await send(url, { "content-type": "application/json" }, JSON.stringify(payload)));
    },
    async postMessage(token, channel, { text, blocks }) {
      const args = { channel, text, blocks: JSON.stringify(blocks), unfurl_links: "false" };
      return sent(await call("chat.postMessage", bearer(token), args, z.unknown()));
    },
    async startUpload(token, filename, bytes) {
      const args = { filename, length: String(bytes) };
      const answer = await call("files.getUploadURLExternal", bearer(token), args, uploadSchema);
      if (answer.kind !== "answered") return answer;
      const { upload_url: url, file_id: fileId } = answer.value;
      if (!isSlackUrl(application, url)) return { kind: "refused", error: "Slack named an upload URL elsewhere" };
      return { kind: "answered", value: { url, id: fileId } };
    },
    async upload(url, file) {
      return sent(await send(url, { "content-type": "application/octet-stream" }, file));
    },
    async completeUpload(token, fileIds, channelId, comment) {
      const files = JSON.stringify(fileIds.map((fileId) => ({ id: fileId })));
      const args = { files, channel_id: channelId, initial_comment: comment };
      return sent(await call("files.completeUploadExternal", bearer(token), args, z.unknown()));
    },
    async isShared(token, file, channelId) {
      const answer = await call("files.info", bearer(token), { file }, fileSchema);
      if (answer.kind !== "answered") return answer;
      const { channels, groups, ims } = answer.value.file;
      return { kind: "answered", value: [...channels, ...groups, ...ims].includes(channelId) };
    },
    async isAdmin(token, user) {
      const answer = await call("users.info", bearer(token), { user }, userSchema);
      if (answer.kind !== "answered") return answer;
      return { kind: "answered", value: answer.value.user.is_admin || answer.value.user.is_owner };
    },
    async publishHome(token, user, view) {
      const args = { user_id: user, view: JSON.stringify(view) };
      return sent(await call("views.publish", bearer(token), args, z.unknown()));
    },
    async exchangeCode(code, redirectUri) {
      const basic = `Basic ${btoa(`${application.clientId}:${application.clientSecret}`)}`;
      const answer = await call("oauth.v2.access", basic, { code, redirect_uri: redirectUri }, accessSchema);
      if (answer.kind !== "answered") return answer;
      const { access_token: token, team, authed_user: user } = answer.value;
      return { kind: "answered", value: { teamId: team.id, teamName: team.name, token, installedBy: user.id } };
    },
  };
}

function sent(answer: Answer<unknown>): SendOutcome {
  return answer.kind === "answered" ? { kind: "sent" } : answer;
}

function readStatus({ ok, status, headers }: Response, text: string): Answer<string> {
  if (ok) return { kind: "answered", value: text };
  const error = `Slack answered ${status}`;
  // https://docs.slack.dev/apis/web-api/rate-limits
  if (status === 429) {
    const seconds = Number.parseFloat(headers.get("retry-after") ?? "");
    const waitMs = Number.isFinite(seconds) ? Math.ceil(seconds * 1_000) : DEFAULT_RETRY_MS;
    return { kind: "limited", waitMs: Math.min(Math.max(waitMs, 1), MAX_RETRY_MS) };
  }
  return status >= 500 ? { kind: "failed", error } : { kind: "refused", error };
}

/** Web API methods say by `ok` how it went; the status is 200 all the same. */
function readEnvelope<T>(method: string, text: string, schema: z.ZodType<T>): Answer<T> {
  const body = parseJson(text);
  const told = envelope.safeParse(body);
  if (!told.success) return { kind: "failed", error: `${method} answered without "ok"` };
  const { ok, error = "no reason" } = told.data;
  if (!ok) {
    if (error === "ratelimited") return { kind: "limited", waitMs: DEFAULT_RETRY_MS };
    return { kind: TRANSIENT.has(error) ? "failed" : "refused", error: `${method}: ${error}` };
  }
  const value = schema.safeParse(body);
  return value.success
    ? { kind: "answered", value: value.data }
    : { kind: "refused", error: `${method} answered in a form that turboclip does not know` };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
