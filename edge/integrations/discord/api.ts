// The calls of Discord's HTTP API that a reply takes, and what their answers mean for it.
// https://docs.discord.com/developers/interactions/receiving-and-responding#edit-original-interaction-response
// https://docs.discord.com/developers/resources/message#create-message
import type {
  RESTPostAPIChannelMessageJSONBody,
  RESTPostAPICurrentUserCreateDMChannelJSONBody,
} from "discord-api-types/v10";
import * as z from "zod";
import type { SendOutcome } from "../../services/chats/deliver.ts";
import type { DiscordApplication } from "./application.ts";
import { type ClipMessage, FILE_NAME } from "./message.ts";

const TIMEOUT_MS = 30_000;
const DEFAULT_RETRY_MS = 5_000;
const MAX_RETRY_MS = 15 * 60_000;
/** "Request entity too large". https://docs.discord.com/developers/topics/opcodes-and-status-codes#json */
const TOO_LARGE_CODE = 40_005;

export interface Sent {
  readonly message: ClipMessage;
  readonly mp4: Blob | null;
}

export interface DiscordApi {
  /** Safe to repeat. */
  editOriginal(token: string, sent: Sent): Promise<SendOutcome>;
  /** With the same nonce within minutes, the first message stands and no second is made. */
  createMessage(channelId: string, nonce: string, sent: Sent): Promise<SendOutcome>;
  /** The same in the channel of the bot and this user alone. */
  createDirectMessage(userId: string, nonce: string, sent: Sent): Promise<SendOutcome>;
}

type Fetch = (request: Request) => Promise<Response>;

const dmChannel = z.object({ id: z.string().regex(/^\d{1,20}$/) });
const errorBody = z.object({ code: z.int().optional(), retry_after: z.number().min(0).optional() });

export function discordApi({ id, botToken, apiUrl }: DiscordApplication, fetch: Fetch): DiscordApi {
  const asBot = { authorization: `Bot ${botToken}` };

  async function call(method: string, path: string, headers: Record<string, string>, body: BodyInit): Promise<Answer> {
    try {
      const signal = AbortSignal.timeout(TIMEOUT_MS);
      const request = new Request(`${apiUrl}${path}`, { method, headers, body, signal, redirect: "manual" });
      const response = await fetch(request);
      return { response, text: await response.text() };
    } catch (error) {
      // What fetch says may name the URL, and so the token.
      return {
        failure: error instanceof Error && error.name === "TimeoutError" ? "no answer in time" : "no connection",
      };
    }
  }

  async function send(method: string, path: string, headers: Record<string, string>, sent: Sent, extra: object) {
    const payload = JSON.stringify({ ...sent.message, ...extra });
    if (sent.mp4 === null) {
      return outcomeOf(await call(method, path, { ...headers, "content-type": "application/json" }, payload));
    }
    const form = new FormData();
    form.append("payload_json", payload);
    form.append("files[0]", sent.mp4, FILE_NAME);
    return outcomeOf(await call(method, path, headers, form));
  }

  const createMessage: DiscordApi["createMessage"] = async (channelId, nonce, sent) => {
    const once = { nonce, enforce_nonce: true } satisfies RESTPostAPIChannelMessageJSONBody;
    return await send("POST", `/channels/${channelId}/messages`, asBot, sent, once);
  };

  return {
    createMessage,
    async editOriginal(token, sent) {
      const path = `/webhooks/${id}/${encodeURIComponent(token)}/messages/@original`;
      return await send("PATCH", path, {}, sent, {});
    },
    async createDirectMessage(userId, nonce, sent) {
      const body = JSON.stringify({ recipient_id: userId } satisfies RESTPostAPICurrentUserCreateDMChannelJSONBody);
      const headers = { ...asBot, "content-type": "application/json" };
      const opened = await call("POST", "/users/@me/channels", headers, body);
      const outcome = outcomeOf(opened);
      if (outcome.kind !== "sent" || "failure" in opened) return outcome;
      const channel = dmChannel.safeParse(parseJson(opened.text));
      if (!channel.success) return { kind: "failed", error: "Discord answered with no channel" };
      return await createMessage(channel.data.id, nonce, sent);
    },
  };
}

type Answer = { readonly response: Response; readonly text: string } | { readonly failure: string };

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function outcomeOf(answer: Answer): SendOutcome {
  if ("failure" in answer) return { kind: "failed", error: answer.failure };
  const { response, text } = answer;
  if (response.ok) return { kind: "sent" };
  const { code, retry_after: retryAfter } = errorBody.safeParse(parseJson(text)).data ?? {};
  const error = `Discord answered ${response.status}${code === undefined ? "" : ` (code ${code})`}`;
  if (response.status === 429) {
    const seconds = retryAfter ?? Number.parseFloat(response.headers.get("retry-after") ?? "");
    const waitMs = Number.isFinite(seconds) ? Math.ceil(seconds * 1_000) : DEFAULT_RETRY_MS;
    return { kind: "limited", waitMs: Math.min(Math.max(waitMs, 1), MAX_RETRY_MS) };
  }
  if (response.status === 413 || code === TOO_LARGE_CODE) return { kind: "too large", error };
  return response.status >= 500 ? { kind: "failed", error } : { kind: "refused", error };
}
