// A stand-in for the edge and its bucket over real HTTP: speaks the runner protocol, checks what it is sent
// against the contract, and misbehaves when told to.
import { createHash } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import {
  type Claim,
  type ClipRequest,
  type CompleteRequest,
  completeRequestSchema,
  DRAIN_HEADER,
  type FailRequest,
  failRequestSchema,
  type HeartbeatRequest,
  heartbeatRequestSchema,
  OUTPUT_KINDS,
  pollRequestSchema,
  type UploadRequest,
  uploadRequestSchema,
} from "../../../shared/contract/runner.ts";
import { makeId } from "../../../shared/ids.ts";

/** What goes wrong with the next request of a kind: before it is acted upon, or after. */
export type Fault =
  | { readonly kind: "drop" }
  | { readonly kind: "drop answer" }
  | { readonly kind: "status"; readonly status: number; readonly code?: string }
  | { readonly kind: "garbage" }
  /** The operator has drained the runner. */
  | { readonly kind: "drained" };

export type Call = "poll" | "heartbeat" | "uploads" | "complete" | "fail" | "release" | "put";

export interface Clip {
  readonly claim: Claim;
  readonly beats: HeartbeatRequest[];
  readonly files: Map<string, Buffer>;
  readonly uploads: Map<string, UploadRequest>;
  state: "queued" | "leased" | "succeeded" | "failed" | "released";
  lost: boolean;
  cancelled: boolean;
  completed: CompleteRequest | undefined;
  failed: FailRequest | undefined;
}

export interface Seen {
  readonly call: Call;
  readonly authorization: string | undefined;
  readonly body: unknown;
}

const TOKEN = "tcr_test";

export class EdgeDouble {
  readonly seen: Seen[] = [];
  readonly clips: Clip[] = [];
  readonly #faults: { call: Call; fault: Fault }[] = [];
  readonly #claims = new Map<string, Clip>();
  readonly #events = new EventEmitter();
  #server: Server | undefined;
  #port = 0;

  static async start(): Promise<EdgeDouble> {
    const edge = new EdgeDouble();
    await edge.up();
    return edge;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get token(): string {
    return TOKEN;
  }

  /** Listens on the port it had before, if it had one. */
  async up(): Promise<void> {
    const server = createServer((request, response) => void this.#handle(request, response));
    server.listen(this.#port, "127.0.0.1");
    await once(server, "listening");
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  /** Gone, with every connection. */
  async down(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    this.#events.emit("changed");
    await closed;
  }

  /** The next `times` requests of this kind meet the fault. */
  fault(call: Call, fault: Fault, times = 1): void {
    for (let i = 0; i < times; i++) this.#faults.push({ call, fault });
  }

  /** Whatever was to go wrong does not any more. */
  heal(): void {
    this.#faults.length = 0;
  }

  /** `outputs`: the files that the edge takes; null as by one from before it said so. */
  queue(request: ClipRequest, attempt = 1, outputs: string[] | null = [...OUTPUT_KINDS]): Clip {
    const random = Uint8Array.from({ length: 10 }, (_, i) => this.clips.length + i);
    const clip: Clip = {
      claim: {
        clip_id: makeId("clip", 1_700_000_000_000, random),
        attempt,
        lease_token: `lease-${this.clips.length}`,
        lease_until_ms: 0,
        request,
        ...(outputs !== null && { outputs }),
      },
      ...{ beats: [], files: new Map(), uploads: new Map(), state: "queued" },
      ...{ lost: false, cancelled: false, completed: undefined, failed: undefined },
    };
    this.clips.push(clip);
    this.#events.emit("changed");
    return clip;
  }

  /** Resolves as soon as the condition holds; looked at after each request and each change. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await once(this.#events, "changed");
  }

  count(call: Call): number {
    return this.seen.filter((request) => request.call === call).length;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      const body = Buffer.concat(chunks);
      const { call, clip, key } = this.#route(request.url ?? "");
      const json = call === "put" ? undefined : JSON.parse(body.toString("utf8"));
      this.seen.push({ call, authorization: request.headers.authorization, body: json });
      this.#events.emit("changed");
      const at = this.#faults.findIndex((entry) => entry.call === call);
      const fault = at < 0 ? undefined : this.#faults.splice(at, 1)[0]?.fault;
      if (fault?.kind === "drop") return void request.socket.destroy();
      if (fault?.kind === "status") return problem(response, fault.status, fault.code ?? "internal");
      if (fault?.kind === "garbage") return answer(response, 200, { surprise: true });
      if (fault?.kind === "drained") return void response.writeHead(204, { [DRAIN_HEADER]: "1" }).end();
      const reply = call === "put" ? put(clip, key, request, body) : await this.#act(call, clip, json, response);
      if (fault?.kind === "drop answer") return void request.socket.destroy();
      answer(response, reply.status, reply.body);
    } catch (error) {
      answer(response, 500, { code: "internal", detail: String(error) });
    } finally {
      this.#events.emit("changed");
    }
  }

  #route(url: string): { call: Call; clip: Clip | undefined; key: string } {
    const [, attempt, call] = /^\/runner\/v1\/attempts\/([^/]+)\/(\w+)$/.exec(url) ?? [];
    const [, stored, key] = /^\/store\/([^/]+)\/(\w+)\?signature=s$/.exec(url) ?? [];
    const token = attempt ?? stored;
    const clip = this.clips.find((candidate) => candidate.claim.lease_token === token);
    if (url === "/runner/v1/poll") return { call: "poll", clip: undefined, key: "" };
    return { call: stored === undefined ? (call as Call) : "put", clip, key: key ?? "" };
  }

  async #act(call: Call, clip: Clip | undefined, json: unknown, response: ServerResponse): Promise<Reply> {
    if (call === "poll") return this.#poll(json, response);
    if (clip === undefined || clip.lost) return { status: 409, body: { code: "lease_lost", detail: "gone" } };
    switch (call) {
      case "heartbeat":
        if (clip.state !== "leased") return { status: 409, body: { code: "lease_lost" } };
        clip.beats.push(heartbeatRequestSchema.parse(json));
        return { status: 200, body: { lease_until_ms: 1, cancel: clip.cancelled } };
      case "uploads":
        return this.#sign(clip, uploadRequestSchema.parse(json));
      case "complete":
        return complete(clip, completeRequestSchema.parse(json));
      case "fail":
        clip.failed = failRequestSchema.parse(json);
        clip.state = "failed";
        return { status: 200, body: { state: "failed" } };
      case "release":
      case "put":
        clip.state = "released";
        return { status: 200, body: { state: "queued" } };
    }
  }

  /** Parks until there is a clip, or until the runner hangs up; the same nonce gets the same claim. */
  async #poll(json: unknown, response: ServerResponse): Promise<Reply> {
    const { nonce } = pollRequestSchema.parse(json);
    response.once("close", () => this.#events.emit("changed"));
    const queued = () => this.clips.find((clip) => clip.state === "queued");
    await this.until(() => this.#claims.has(nonce) || queued() !== undefined || response.closed);
    const clip = this.#claims.get(nonce) ?? queued();
    if (clip === undefined || response.closed) return { status: 503, body: {} };
    this.#claims.set(nonce, clip);
    clip.state = "leased";
    return { status: 200, body: clip.claim };
  }

  #sign(clip: Clip, upload: UploadRequest): Reply {
    clip.uploads.set(upload.kind, upload);
    const headers = {
      "content-length": String(upload.bytes),
      "content-type": upload.type,
      "content-md5": upload.md5,
      "if-none-match": "*",
    };
    const url = `${this.origin}/store/${clip.claim.lease_token}/${upload.kind}?signature=s`;
    return { status: 200, body: { url, headers } };
  }
}

interface Reply {
  readonly status: number;
  readonly body: object;
}

/** As R2: the four signed headers must be there and true, and nothing is overwritten. */
function put(clip: Clip | undefined, key: string, request: IncomingMessage, body: Buffer): Reply {
  const declared = clip?.uploads.get(key);
  if (clip === undefined || declared === undefined) return { status: 403, body: {} };
  const { headers } = request;
  const asSigned =
    headers["content-length"] === String(declared.bytes) &&
    headers["content-type"] === declared.type &&
    headers["content-md5"] === declared.md5 &&
    headers["if-none-match"] === "*";
  if (!asSigned || headers.authorization !== undefined) return { status: 403, body: {} };
  if (createHash("md5").update(body).digest("base64") !== declared.md5) return { status: 400, body: {} };
  if (clip.files.has(key)) return { status: 412, body: {} };
  clip.files.set(key, body);
  return { status: 200, body: {} };
}

function complete(clip: Clip, done: CompleteRequest): Reply {
  if (clip.state !== "leased" && clip.state !== "succeeded") return { status: 409, body: { code: "lease_lost" } };
  for (const kind of OUTPUT_KINDS) {
    if (clip.files.get(kind)?.length !== done.outputs[kind]?.bytes)
      return { status: 409, body: { code: "upload_missing" } };
  }
  clip.completed = done;
  clip.state = "succeeded";
  return { status: 200, body: { state: "succeeded" } };
}

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

function problem(response: ServerResponse, status: number, code: string): void {
  answer(response, status, { code, detail: `told to answer ${status}` });
}
