// Discord, as far as a bot by HTTP meets it: it sends signed interactions, takes messages by its rules, and misbehaves
// as it is told. Each rule cites its page. It runs wherever Request and Response do: in workerd and in Node.
import * as z from "zod";
import { FaultyDouble } from "../faults.ts";
import { createSchema, directSchema, editSchema, MAX_EMBED_CHARACTERS, type MessageBody } from "./bodies.ts";

/** https://docs.discord.com/developers/interactions/receiving-and-responding#interaction-callback */
const ACKNOWLEDGE_MS = 3_000;
/** https://docs.discord.com/developers/interactions/receiving-and-responding#followup-messages */
const TOKEN_MS = 15 * 60_000;
/** https://docs.discord.com/developers/reference#uploading-files */
const REQUEST_BYTES = 25 * 1024 * 1024;
/** "The past few minutes". https://docs.discord.com/developers/resources/message#create-message */
const NONCE_MS = 5 * 60_000;

export interface Shown extends MessageBody {
  readonly files: readonly Uint8Array[];
  readonly editedAtMs: number;
}
/** workerd's types and Node's name it differently. */
type Key = Awaited<ReturnType<typeof crypto.subtle.importKey>>;
interface Keys {
  readonly publicKey: Key;
  readonly privateKey: Key;
}
interface Told {
  readonly id: string;
  readonly token: string;
  readonly sizeLimit: number;
  readonly createdAtMs: number;
  state: "told" | "acknowledged" | "void";
  original: Shown | null;
  edits: number;
}
interface Posted {
  readonly channelId: string;
  readonly message: Shown;
  readonly atMs: number;
}
const answerSchema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal(1) }),
  z.strictObject({ type: z.literal(4), data: createSchema.extend({ flags: z.int().optional() }) }),
  z.strictObject({ type: z.literal(5) }),
  z.strictObject({ type: z.literal(6) }),
  z.strictObject({
    type: z.literal(8),
    data: z.strictObject({
      choices: z.array(z.strictObject({ name: z.string().min(1).max(100), value: z.string().max(100) })).max(25),
    }),
  }),
]);
export type Answer = z.output<typeof answerSchema>;

const hex = (bytes: ArrayBuffer) => Array.from(new Uint8Array(bytes), (b) => b.toString(16).padStart(2, "0")).join("");

export class DiscordDouble extends FaultyDouble {
  readonly applicationId = "1178000000000000001";
  readonly botToken = "bot-token-of-the-double";
  readonly guildId = "613425648685547541";
  readonly posted: Posted[] = [];
  readonly closedChannels = new Set<string>();
  readonly #told = new Map<string, Told>();
  readonly #keys: Keys;
  readonly publicKey: string;
  readonly #now: () => number;
  #ids = 0n;

  private constructor(keys: Keys, publicKey: string, now: () => number) {
    super();
    this.#keys = keys;
    this.publicKey = publicKey;
    this.#now = now;
  }

  static async open(now: () => number = Date.now): Promise<DiscordDouble> {
    const keys = (await crypto.subtle.generateKey({ name: "Ed25519" }, true, ["sign", "verify"])) as unknown as Keys;
    const raw = (await crypto.subtle.exportKey("raw", keys.publicKey)) as ArrayBuffer;
    return new DiscordDouble(keys, hex(raw), now);
  }

  /** Milliseconds since 2015 in the upper bits. https://docs.discord.com/developers/reference#snowflakes */
  snowflake(): string {
    this.#ids += 1n;
    return String((BigInt(this.#now() - 1_420_070_400_000) << 22n) + this.#ids);
  }

  async sign(body: string, timestamp = String(Math.floor(this.#now() / 1_000))): Promise<Record<string, string>> {
    const text = new TextEncoder().encode(timestamp + body);
    const signature = await crypto.subtle.sign({ name: "Ed25519" }, this.#keys.privateKey, text);
    return {
      "content-type": "application/json",
      "x-signature-ed25519": hex(signature),
      "x-signature-timestamp": timestamp,
    };
  }

  /** An interaction of this server; `wanted` says who, where, and what. */
  interaction(wanted: {
    type: 2 | 3 | 4;
    data: object;
    userId?: string;
    channelId?: string;
    roles?: string[];
    permissions?: string;
    sizeLimit?: number;
  }): { readonly id: string; readonly body: string } {
    const id = this.snowflake();
    const token = `interaction-token-${id}`;
    const sizeLimit = wanted.sizeLimit ?? 10 * 1024 * 1024;
    const { userId = "80351110224678912", channelId = "41771983423143937" } = wanted;
    const member = { user: { id: userId }, roles: wanted.roles ?? [], permissions: wanted.permissions ?? "0" };
    const { type, data } = wanted;
    const where = { guild_id: this.guildId, channel_id: channelId, member };
    const shared = {
      application_id: this.applicationId,
      version: 1,
      locale: "en-GB",
      attachment_size_limit: sizeLimit,
    };
    this.#told.set(token, { id, token, sizeLimit, createdAtMs: this.#now(), state: "told", original: null, edits: 0 });
    return { id, body: JSON.stringify({ id, token, type, data, ...where, ...shared }) };
  }

  /** Sends it and takes the answer, as Discord would: the token is void if it comes late. */
  async deliver(
    body: string,
    post: (headers: Record<string, string>, body: string) => Promise<Response>,
  ): Promise<Answer> {
    const sentAtMs = this.#now();
    const response = await post(await this.sign(body), body);
    const { token } = JSON.parse(body) as { token?: string };
    const told = this.#told.get(token ?? "");
    const answer = response.ok ? answerSchema.parse(await response.json()) : null;
    const inTime = this.#now() - sentAtMs <= ACKNOWLEDGE_MS;
    if (told !== undefined) told.state = answer !== null && inTime ? "acknowledged" : "void";
    if (answer === null) throw new Error(`an interaction was answered ${response.status}: ${await response.text()}`);
    return answer;
  }

  original(id: string): Shown | null {
    return this.#find(id).original;
  }

  edits(id: string): number {
    return this.#find(id).edits;
  }

  #find(id: string): Told {
    const told = [...this.#told.values()].find((one) => one.id === id);
    if (told === undefined) throw new Error(`no interaction ${id} was sent`);
    return told;
  }

  /** As if the acknowledgement had come too late: the token answers nothing. */
  void(id: string): void {
    this.#find(id).state = "void";
  }

  protected override failure(status: number): Response {
    return problem(status, 0);
  }

  /** https://docs.discord.com/developers/topics/rate-limits#exceeding-a-rate-limit */
  protected override limit(retryAfterS: number): Response {
    const limited = { message: "You are being rate limited.", retry_after: retryAfterS, global: false };
    return Response.json(limited, { status: 429, headers: { "retry-after": String(retryAfterS) } });
  }

  protected override async answer(request: Request): Promise<Response> {
    const path = new URL(request.url).pathname.replace(/^\/api\/v10/, "");
    const original = /^\/webhooks\/(\d+)\/([^/]+)\/messages\/@original$/.exec(path);
    if (request.method === "PATCH" && original !== null) {
      this.requests.push("PATCH @original");
      return await this.#edit(request, original[1] ?? "", decodeURIComponent(original[2] ?? ""));
    }
    // https://docs.discord.com/developers/reference#authentication
    if (request.headers.get("authorization") !== `Bot ${this.botToken}`) return problem(401, 0);
    if (request.method === "POST" && path === "/users/@me/channels") {
      this.requests.push("POST direct");
      const { recipient_id: userId } = directSchema.parse(await request.json());
      return Response.json({ id: `9${userId.slice(1)}`, type: 1 });
    }
    const channel = /^\/channels\/(\d+)\/messages$/.exec(path)?.[1];
    if (request.method === "POST" && channel !== undefined) {
      this.requests.push("POST channel");
      return await this.#create(request, channel);
    }
    return problem(404, 0);
  }

  async #edit(request: Request, applicationId: string, token: string): Promise<Response> {
    const told = this.#told.get(token);
    if (applicationId !== this.applicationId || told === undefined || told.state === "void")
      return problem(404, 10_015);
    if (this.#now() - told.createdAtMs >= TOKEN_MS) return problem(401, 50_027);
    if (told.state === "told") return problem(404, 10_008);
    const read = await this.#read(request, editSchema, told.sizeLimit);
    if (read instanceof Response) return read;
    told.original = read;
    told.edits += 1;
    return Response.json({ id: told.id, channel_id: "0" });
  }

  async #create(request: Request, channelId: string): Promise<Response> {
    if (this.closedChannels.has(channelId)) return problem(403, 50_001);
    const read = await this.#read(request, createSchema, 10 * 1024 * 1024);
    if (read instanceof Response) return read;
    const twin = this.posted.find(({ message, atMs }) => message.nonce === read.nonce && this.#now() - atMs < NONCE_MS);
    if (read.enforce_nonce === true && twin !== undefined) return Response.json({ id: "1", channel_id: channelId });
    this.posted.push({ channelId, message: read, atMs: this.#now() });
    return Response.json({ id: this.snowflake(), channel_id: channelId });
  }

  /** https://docs.discord.com/developers/reference#uploading-files */
  async #read(request: Request, schema: z.ZodType<MessageBody>, sizeLimit: number): Promise<Shown | Response> {
    const bytes = await request.arrayBuffer();
    if (bytes.byteLength > REQUEST_BYTES) return problem(413, 40_005);
    const type = request.headers.get("content-type") ?? "";
    const files: Uint8Array[] = [];
    let text = new TextDecoder().decode(type.startsWith("application/json") ? bytes : new ArrayBuffer(0));
    if (type.startsWith("multipart/form-data")) {
      const form = await new Response(bytes, { headers: { "content-type": type } }).formData();
      const payload: unknown = form.get("payload_json");
      if (typeof payload !== "string") return problem(400, 50_035);
      text = payload;
      for (let i = 0; form.has(`files[${i}]`); i++) {
        const file = form.get(`files[${i}]`);
        if (file === null || typeof file === "string") return problem(400, 50_035);
        files.push(new Uint8Array(await (file as Blob).arrayBuffer()));
      }
    }
    if (files.some((file) => file.length > sizeLimit)) return problem(413, 40_005);
    const body = schema.safeParse(JSON.parse(text));
    if (!body.success) return problem(400, 50_035);
    const { embeds = [], attachments = [], content = "" } = body.data;
    const characters = embeds.reduce((sum, e) => sum + (e.description?.length ?? 0) + (e.footer?.text.length ?? 0), 0);
    const named = attachments.every(({ id }) => id >= 0 && id < files.length) && attachments.length === files.length;
    const empty = content === "" && embeds.length === 0 && files.length === 0;
    if (characters > MAX_EMBED_CHARACTERS || !named || empty) return problem(400, 50_035);
    return { ...body.data, files, editedAtMs: this.#now() };
  }
}

/** https://docs.discord.com/developers/reference#error-messages */
function problem(status: number, code: number): Response {
  return Response.json({ code, message: "refused by the double" }, { status });
}
