// The runner protocol's calls over undici: a time limit on each, answers checked against the contract, errors
// sorted into those that may pass and those that will not.
import { type Dispatcher, request } from "undici";
import * as z from "zod";
import {
  attemptEndReplySchema,
  type Claim,
  type CompleteRequest,
  claimSchema,
  DRAIN_HEADER,
  type FailRequest,
  type HeartbeatReply,
  type HeartbeatRequest,
  heartbeatReplySchema,
  type PollRequest,
  type UploadReply,
  type UploadRequest,
  uploadReplySchema,
} from "../../shared/contract/runner.ts";

/** `lost`: the lease is not ours any more. `refused`: asking again gets the same answer. */
export type EdgeErrorKind = "unreachable" | "unwell" | "lost" | "unauthorized" | "refused";

export class EdgeError extends Error {
  readonly kind: EdgeErrorKind;
  /** The problem document's code, if there was one. */
  readonly code: string | undefined;

  constructor(kind: EdgeErrorKind, message: string, code?: string) {
    super(message);
    this.name = "EdgeError";
    this.kind = kind;
    this.code = code;
  }

  /** Whether asking again may go better. A revoked token may have been revoked by mistake. */
  get transient(): boolean {
    return this.kind === "unreachable" || this.kind === "unwell" || this.kind === "unauthorized";
  }
}

export interface EdgeClientOptions {
  readonly origin: string;
  readonly token: string;
  readonly dispatcher: Dispatcher;
}

const CALL_TIMEOUT_MS = 15_000;
/** A parked poll may take as long as it asked for, and the edge a while to answer. */
const POLL_GRACE_MS = 10_000;
const MAX_ANSWER_BYTES = 256 * 1024;

const problem = z.object({ code: z.string(), detail: z.string().optional() });

interface Answer {
  readonly status: number;
  /** The operator wants this runner to take no more clips. */
  readonly drained: boolean;
  readonly text: string;
}

export class EdgeClient {
  readonly #options: EdgeClientOptions;

  constructor(options: EdgeClientOptions) {
    this.#options = options;
  }

  /** A claim, null when there was no work while the poll was parked, or that there will be none for this runner. */
  async poll(poll: PollRequest, signal: AbortSignal): Promise<Claim | null | "drained"> {
    const answer = await this.#post("/runner/v1/poll", poll, poll.wait_s * 1_000 + POLL_GRACE_MS, signal);
    if (answer.status === 204) return answer.drained ? "drained" : null;
    return parseAnswer("poll", answer, claimSchema);
  }

  heartbeat(token: string, beat: HeartbeatRequest, signal: AbortSignal): Promise<HeartbeatReply> {
    return this.#attempt(token, "heartbeat", beat, heartbeatReplySchema, signal);
  }

  requestUpload(token: string, upload: UploadRequest, signal: AbortSignal): Promise<UploadReply> {
    return this.#attempt(token, "uploads", upload, uploadReplySchema, signal);
  }

  async complete(token: string, done: CompleteRequest, signal: AbortSignal): Promise<void> {
    await this.#attempt(token, "complete", done, attemptEndReplySchema, signal);
  }

  async fail(token: string, failure: FailRequest, signal: AbortSignal): Promise<void> {
    await this.#attempt(token, "fail", failure, attemptEndReplySchema, signal);
  }

  async release(token: string, signal: AbortSignal): Promise<void> {
    await this.#attempt(token, "release", {}, attemptEndReplySchema, signal);
  }

  async #attempt<T>(token: string, call: string, body: unknown, schema: z.ZodType<T>, signal: AbortSignal): Promise<T> {
    const path = `/runner/v1/attempts/${encodeURIComponent(token)}/${call}`;
    return parseAnswer(call, await this.#post(path, body, CALL_TIMEOUT_MS, signal), schema);
  }

  async #post(path: string, body: unknown, timeoutMs: number, signal: AbortSignal): Promise<Answer> {
    const { origin, token, dispatcher } = this.#options;
    try {
      const reply = await request(`${origin}${path}`, {
        method: "POST",
        dispatcher,
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        body: JSON.stringify(body),
        headersTimeout: timeoutMs,
        bodyTimeout: CALL_TIMEOUT_MS,
        signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
      });
      const drained = reply.headers[DRAIN_HEADER] !== undefined;
      return { status: reply.statusCode, drained, text: await readLimited(reply.body) };
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof EdgeError) throw error;
      throw new EdgeError("unreachable", `the edge did not answer: ${reasonOf(error)}`);
    }
  }
}

async function readLimited(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.byteLength;
    if (bytes > MAX_ANSWER_BYTES) throw new EdgeError("unwell", `the edge's answer is over ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function parseAnswer<T>(call: string, { status, text }: Pick<Answer, "status" | "text">, schema: z.ZodType<T>): T {
  const json = jsonOrUndefined(text);
  if (status < 200 || status > 299) throw errorOf(call, status, json);
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  // Not quoted: a claim holds a prompt.
  throw new EdgeError("unwell", `the edge answered ${call} with ${status} and something the contract does not have`);
}

function errorOf(call: string, status: number, json: unknown): EdgeError {
  const parsed = problem.safeParse(json);
  const code = parsed.success ? parsed.data.code : undefined;
  const detail = parsed.success && parsed.data.detail ? `: ${parsed.data.detail}` : "";
  return new EdgeError(kindOf(status, code), `the edge answered ${call} with ${status}${detail}`, code);
}

function kindOf(status: number, code: string | undefined): EdgeErrorKind {
  if (status === 401 || status === 403) return "unauthorized";
  if (status === 409) return code === undefined || code === "lease_lost" ? "lost" : "refused";
  // Not found: a route of an edge that is just being deployed. A lease that is gone is a 409.
  if (status >= 500 || status === 404 || status === 408 || status === 429) return "unwell";
  return "refused";
}

function jsonOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // the schemas say what is missing
  }
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
