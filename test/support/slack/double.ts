// Slack, as far as an app by HTTP meets it: it sends signed commands, interactions and events, takes messages and files by
// its rules, and misbehaves as it is told. Each rule cites its page. It runs wherever Request and Response do: in workerd
// and in Node.
import type * as z from "zod";
import { FaultyDouble } from "../faults.ts";
import {
  accessSchema,
  type Blocks,
  completeUploadSchema,
  fileInfoSchema,
  type Home,
  postSchema,
  publishSchema,
  responseSchema,
  startUploadSchema,
  userInfoSchema,
} from "./bodies.ts";
import { commandBody, eventBody, type Occasion, pressBody, shortcutBody, signBody } from "./requests.ts";

/** https://docs.slack.dev/interactivity/implementing-slash-commands#responding_with_errors */
const ACKNOWLEDGE_MS = 3_000;
/** https://docs.slack.dev/interactivity/handling-user-interaction#message_responses */
const RESPONSE_USES = 5;
const RESPONSE_MS = 30 * 60_000;

interface Hook {
  readonly channelId: string;
  readonly userId: string;
  readonly endsAtMs: number;
  usesLeft: number;
}
interface StoredFile {
  readonly name: string;
  readonly length: number;
  bytes: Uint8Array | null;
  readonly channels: string[];
}
/** What somebody sees in a channel. */
export interface Seen {
  readonly by: "acknowledgement" | "response_url" | "bot" | "files";
  readonly channelId: string;
  /** Who alone sees it; null for the channel. */
  readonly only: string | null;
  readonly text: string;
  readonly blocks: Blocks;
  readonly files: readonly Uint8Array[];
}
export interface Who {
  readonly userId?: string;
  readonly channelId?: string;
}
type Post = (headers: Record<string, string>, body: string) => Promise<Response>;

export class SlackDouble extends FaultyDouble {
  /** Where it is reached, its API, hooks and uploads alike. */
  origin: string;
  readonly clientId = "210000000001.310000000002";
  readonly clientSecret = "client-secret-of-the-double";
  readonly signingSecret = "8f742231b10e8888abcd99yyyzzz85a5";
  readonly code = "code.of.the.double";
  readonly botToken = "xoxb-token-of-the-double";
  readonly teamId = "T0001";
  readonly channelId = "C2147483705";
  readonly installer = "U0000INST";
  readonly userId = "U2147483697";
  readonly admins = new Set<string>();
  readonly seen: Seen[] = [];
  readonly homes = new Map<string, Home>();
  /** Channels that the bot is in. */
  readonly joined = new Set<string>([this.channelId]);
  /** Users who take no message of the bot. */
  readonly closedUsers = new Set<string>();
  tokenIsRevoked = false;
  readonly #hooks = new Map<string, Hook>();
  readonly #files = new Map<string, StoredFile>();
  readonly #now: () => number;
  #ids = 0;

  constructor(origin = "https://slack.test", now: () => number = Date.now) {
    super();
    this.origin = origin;
    this.#now = now;
  }

  get settings() {
    return {
      SLACK_CLIENT_ID: this.clientId,
      SLACK_CLIENT_SECRET: this.clientSecret,
      SLACK_SIGNING_SECRET: this.signingSecret,
      SLACK_API_URL: `${this.origin}/api`,
    };
  }

  async sign(body: string, timestamp = String(Math.floor(this.#now() / 1_000))): Promise<Record<string, string>> {
    return await signBody(this.signingSecret, timestamp, body);
  }

  #occasion({ userId = this.userId, channelId = this.channelId }: Who): Occasion {
    const { teamId } = this;
    this.#ids += 1;
    const responseUrl = `${this.origin}/hooks/${teamId}/${this.#ids}`;
    const endsAtMs = this.#now() + RESPONSE_MS;
    this.#hooks.set(responseUrl, { channelId, userId, endsAtMs, usesLeft: RESPONSE_USES });
    return { teamId, userId, channelId, responseUrl, triggerId: `13345224609.738474920.${this.#ids}` };
  }

  command(text: string, who: Who = {}): string {
    return commandBody(this.#occasion(who), text);
  }

  press(actionId: string, value: string, who: Who = {}): string {
    return pressBody(this.#occasion(who), actionId, value);
  }

  shortcut(text: string, who: Who = {}, callbackId = "clip_from_message"): string {
    return shortcutBody(this.#occasion(who), callbackId, text);
  }

  event(event: Readonly<Record<string, unknown>>, atMs = this.#now()): string {
    this.#ids += 1;
    return eventBody(this.teamId, `Ev${this.#ids}`, event, atMs);
  }

  /** Sends it and shows what it is answered, as Slack would: nothing of it if it comes late. */
  async deliver(body: string, post: Post): Promise<Response> {
    const sentAtMs = this.#now();
    const response = await post(await this.sign(body), body);
    const copy = response.clone();
    if (this.#now() - sentAtMs > ACKNOWLEDGE_MS) return copy;
    if (!response.ok) throw new Error(`Slack was answered ${response.status}: ${await response.text()}`);
    const text = await response.text();
    const form = new URLSearchParams(body);
    if (form.has("command") && text !== "") {
      const message = responseSchema.parse(JSON.parse(text));
      this.#show("acknowledgement", form.get("channel_id") ?? "", form.get("user_id") ?? "", message);
    } else if (form.has("payload") && text !== "") {
      throw new Error("Slack shows no words of an interaction's acknowledgement");
    }
    return copy;
  }

  /** As if they had been used before: by an edge that died before it could count. */
  useUpResponseUrls(): void {
    for (const hook of this.#hooks.values()) hook.usesLeft = 0;
  }

  #show(
    by: Seen["by"],
    channelId: string,
    userId: string,
    { text, blocks, response_type: type }: z.output<typeof responseSchema>,
  ): void {
    this.seen.push({ by, channelId, only: type === "ephemeral" ? userId : null, text, blocks, files: [] });
  }

  protected override failure(status: number): Response {
    return new Response("upstream trouble", { status });
  }

  /** https://docs.slack.dev/apis/web-api/rate-limits */
  protected override limit(retryAfterS: number): Response {
    return new Response("ratelimited", { status: 429, headers: { "retry-after": String(retryAfterS) } });
  }

  protected override async answer(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    const hook = this.#hooks.get(`${this.origin}${pathname}`);
    if (hook !== undefined) return await this.#respond(request, hook);
    const uploaded = /^\/upload\/(\w+)$/.exec(pathname)?.[1];
    if (uploaded !== undefined) return await this.#upload(request, this.#files.get(uploaded));
    const method = /^\/api\/([\w.]+)$/.exec(pathname)?.[1] ?? "";
    this.requests.push(method);
    const form = new TextDecoder().decode(await request.arrayBuffer());
    const args = Object.fromEntries(new URLSearchParams(form));
    const authorization = request.headers.get("authorization");
    if (method === "oauth.v2.access") return this.#access(authorization, args);
    if (authorization !== `Bearer ${this.botToken}`) return refusal("invalid_auth");
    if (this.tokenIsRevoked) return refusal("token_revoked");
    return this.#call(method, args);
  }

  /** https://docs.slack.dev/interactivity/handling-user-interaction#message_responses */
  async #respond(request: Request, hook: Hook): Promise<Response> {
    this.requests.push("response_url");
    if (this.#now() >= hook.endsAtMs) return Response.json({ ok: false, error: "expired_url" }, { status: 404 });
    if (hook.usesLeft === 0) return Response.json({ ok: false, error: "used_url" }, { status: 404 });
    hook.usesLeft -= 1;
    const message = responseSchema.safeParse(await request.json());
    if (!message.success) return Response.json({ ok: false, error: "invalid_payload" }, { status: 400 });
    this.#show("response_url", hook.channelId, hook.userId, message.data);
    return new Response("ok");
  }

  /** https://docs.slack.dev/messaging/working-with-files#upload */
  async #upload(request: Request, file: StoredFile | undefined): Promise<Response> {
    this.requests.push("upload");
    const bytes = new Uint8Array(await request.arrayBuffer());
    if (file === undefined || request.method !== "POST" || bytes.length !== file.length) {
      return new Response("bad upload", { status: 400 });
    }
    file.bytes = bytes;
    return new Response(`OK - ${bytes.length}`);
  }

  #access(authorization: string | null, args: object): Response {
    if (authorization !== `Basic ${btoa(`${this.clientId}:${this.clientSecret}`)}`) return refusal("bad_client_secret");
    const wanted = accessSchema.parse(args);
    if (wanted.code !== this.code) return refusal("invalid_code");
    return Response.json({
      ok: true,
      access_token: this.botToken,
      token_type: "bot",
      scope: "chat:write,commands,files:read,files:write,users:read",
      bot_user_id: "U0KRQLJ9H",
      app_id: "A123456",
      team: { id: this.teamId, name: "Example" },
      enterprise: null,
      authed_user: { id: this.installer },
      is_enterprise_install: false,
    });
  }

  #call(method: string, args: object): Response {
    switch (method) {
      case "chat.postMessage":
        return this.#post(postSchema.safeParse(args));
      case "files.getUploadURLExternal": {
        const { filename: name, length } = startUploadSchema.parse(args);
        this.#ids += 1;
        const id = `F${this.#ids}`;
        this.#files.set(id, { name, length, bytes: null, channels: [] });
        return Response.json({ ok: true, upload_url: `${this.origin}/upload/${id}`, file_id: id });
      }
      case "files.completeUploadExternal":
        return this.#complete(completeUploadSchema.parse(args));
      case "files.info": {
        const file = this.#files.get(fileInfoSchema.parse(args).file);
        if (file?.bytes == null) return refusal("file_not_found");
        return Response.json({ ok: true, file: { name: file.name, channels: file.channels, groups: [], ims: [] } });
      }
      case "users.info": {
        const { user } = userInfoSchema.parse(args);
        return Response.json({ ok: true, user: { id: user, is_admin: this.admins.has(user), is_owner: false } });
      }
      case "views.publish": {
        const published = publishSchema.parse(args);
        this.homes.set(published.user_id, published.view);
        return Response.json({ ok: true });
      }
      default:
        return refusal("unknown_method");
    }
  }

  /** https://docs.slack.dev/reference/methods/chat.postMessage#errors */
  #post(post: z.ZodSafeParseResult<z.output<typeof postSchema>>): Response {
    if (!post.success) return refusal("invalid_blocks");
    const { channel, text, blocks } = post.data;
    const toUser = channel.startsWith("U");
    if (toUser ? this.closedUsers.has(channel) : !this.joined.has(channel)) {
      return refusal(toUser ? "channel_not_found" : "not_in_channel");
    }
    this.seen.push({ by: "bot", channelId: channel, only: toUser ? channel : null, text, blocks, files: [] });
    return Response.json({ ok: true, channel, ts: "1.2" });
  }

  /** A second time would post them again. https://docs.slack.dev/reference/methods/files.completeUploadExternal#errors */
  #complete({ files, channel_id: channelId, initial_comment: text }: z.output<typeof completeUploadSchema>): Response {
    const found = files.map(({ id }) => this.#files.get(id));
    const bytes = found.flatMap((file) => (file?.bytes == null ? [] : [file.bytes]));
    if (bytes.length !== files.length) return refusal("file_not_found");
    if (!this.joined.has(channelId)) return refusal("not_in_channel");
    for (const file of found) file?.channels.push(channelId);
    this.seen.push({ by: "files", channelId, only: null, text, blocks: [], files: bytes });
    return Response.json({ ok: true, files });
  }
}

/** https://docs.slack.dev/apis/web-api/#evaluating-responses */
function refusal(error: string): Response {
  return Response.json({ ok: false, error });
}
