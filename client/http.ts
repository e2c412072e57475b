// JSON calls to the public API: a time limit on every one, answers checked against the contract, and a few
// repeats for calls that are safe to repeat.
import pRetry from "p-retry";
import * as z from "zod";
import { API_VERSIONS, VERSION_HEADER } from "../shared/contract/version.ts";
import { errorFromAnswer, jsonOrUndefined, TurboclipError, unreachable } from "./errors.ts";

export interface ConnectionOptions {
  /** The API's origin, like https://api.example.com. */
  readonly origin: string;
  readonly apiKey: string;
  /** Stands in for the global one. */
  readonly fetch?: typeof fetch;
  /** Limit of one request; 30 s if absent. */
  readonly timeoutMs?: number;
  /** Repeats after the first try; 4 if absent. */
  readonly retries?: number;
  /** First wait between tries, doubled each time; 250 ms if absent. */
  readonly retryDelayMs?: number;
}

export interface Call<T> {
  readonly method: "GET" | "POST" | "PATCH" | "DELETE";
  readonly path: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly answer: z.ZodType<T>;
  readonly signal?: AbortSignal | undefined;
}

/** The answer to a call that answers nothing. */
export const NO_CONTENT = z.undefined();

const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_RETRIES = 4;
const DEFAULT_RETRY_DELAY_MS = 250;
const MAX_RETRY_DELAY_MS = 5_000;
/** A longer Retry-After is the caller's to wait out. */
const MAX_RETRY_AFTER_S = 10;

export class Connection {
  readonly #options: ConnectionOptions;

  constructor(options: ConnectionOptions) {
    this.#options = { ...options, origin: new URL(options.origin).origin };
  }

  /** Every call made here may be repeated: reads, and writes that the API knows by their idempotency. */
  async call<T>(call: Call<T>): Promise<T> {
    const { retries = DEFAULT_RETRIES, retryDelayMs = DEFAULT_RETRY_DELAY_MS } = this.#options;
    return pRetry(() => this.callOnce(call), {
      retries,
      minTimeout: retryDelayMs,
      maxTimeout: MAX_RETRY_DELAY_MS,
      randomize: true,
      ...(call.signal === undefined ? {} : { signal: call.signal }),
      shouldRetry: ({ error }) => worthRepeating(error),
      onFailedAttempt: async ({ error, retriesLeft }) => {
        if (retriesLeft > 0 && worthRepeating(error)) await waitAsAsked(error, call.signal);
      },
    });
  }

  /** A call that is not to be repeated without a look. */
  async callOnce<T>({ method, path, body, headers, answer, signal }: Call<T>): Promise<T> {
    const { origin, apiKey, fetch: send = fetch, timeoutMs = DEFAULT_TIMEOUT_MS } = this.#options;
    const limit = AbortSignal.timeout(timeoutMs);
    const what = `${method} ${path}`;
    let reply: Response;
    let text: string;
    try {
      reply = await send(`${origin}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${apiKey}`,
          [VERSION_HEADER]: API_VERSIONS[0],
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
      });
      text = await reply.text();
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw unreachable(what, error);
    }
    if (!reply.ok) throw errorFromAnswer(reply.status, text, reply.headers.get("retry-after"));
    const parsed = answer.safeParse(jsonOrUndefined(text));
    if (parsed.success) return parsed.data;
    throw new TurboclipError({
      code: "unexpected_answer",
      message: `${what} answered ${reply.status} with something else than the contract has: ${parsed.error.message}`,
      retryable: false,
      status: reply.status,
    });
  }
}

function worthRepeating(error: unknown): boolean {
  if (!(error instanceof TurboclipError) || !error.retryable) return false;
  if (error.code === "unreachable" || error.code === "idempotency_in_flight") return true;
  if (error.status === 429) return error.retryAfter !== undefined && error.retryAfter <= MAX_RETRY_AFTER_S;
  return error.status !== undefined && error.status >= 500;
}

async function waitAsAsked(error: unknown, signal: AbortSignal | undefined): Promise<void> {
  if (!(error instanceof TurboclipError) || error.retryAfter === undefined) return;
  await delay(Math.min(error.retryAfter, MAX_RETRY_AFTER_S) * 1_000, signal);
}

/** Rejects with the signal's reason when it aborts first. */
export function delay(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
