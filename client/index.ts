// The TypeScript client: create, watch, cancel and download clips.
//
//   const client = new TurboclipClient({ origin: "https://...", apiKey: "tc_live_..." });
//   const created = await client.createClip({ model: "turboclip-demo", prompt: "waves at night" });
//   const clip = await client.waitForClip(created.id);
//   if (clip.output) await client.download(clip.output.mp4.url, "waves.mp4");
import { type Balance, balanceSchema } from "../shared/contract/balance.ts";
import { type Clip, type CreateClipInput, clipSchema } from "../shared/contract/clips.ts";
import { isTerminal } from "../shared/states.ts";
import { type DownloadOptions, download } from "./download.ts";
import { Connection, type ConnectionOptions, delay } from "./http.ts";

export { type ClientErrorCode, TurboclipError } from "./errors.ts";

export type TurboclipClientOptions = ConnectionOptions;

export interface WaitOptions {
  readonly signal?: AbortSignal;
  /** Called with the clip each time its state or progress has changed, the final one included. */
  readonly onProgress?: (clip: Clip) => void;
  /** Between two looks; 200 ms if absent. */
  readonly intervalMs?: number;
}

const DEFAULT_INTERVAL_MS = 200;

export class TurboclipClient {
  readonly #connection: Connection;
  readonly #fetch: typeof fetch | undefined;

  constructor(options: TurboclipClientOptions) {
    this.#connection = new Connection(options);
    this.#fetch = options.fetch;
  }

  /**
   * Orders a clip. Without an idempotency key of yours each call gets a fresh one, so that a repeat after a
   * lost answer finds the same clip.
   */
  createClip(input: CreateClipInput, options: { idempotencyKey?: string; signal?: AbortSignal } = {}): Promise<Clip> {
    return this.#connection.call({
      method: "POST",
      path: "/v1/clips",
      body: input,
      headers: { "idempotency-key": options.idempotencyKey ?? crypto.randomUUID() },
      answer: clipSchema,
      signal: options.signal,
    });
  }

  getClip(id: string, options: { signal?: AbortSignal } = {}): Promise<Clip> {
    const path = `/v1/clips/${encodeURIComponent(id)}`;
    return this.#connection.call({ method: "GET", path, answer: clipSchema, signal: options.signal });
  }

  cancelClip(id: string, options: { signal?: AbortSignal } = {}): Promise<Clip> {
    const path = `/v1/clips/${encodeURIComponent(id)}/cancel`;
    return this.#connection.call({ method: "POST", path, answer: clipSchema, signal: options.signal });
  }

  getBalance(options: { signal?: AbortSignal } = {}): Promise<Balance> {
    const path = "/v1/balance";
    return this.#connection.call({ method: "GET", path, answer: balanceSchema, signal: options.signal });
  }

  /** Returns the clip once it has succeeded, failed, expired or been cancelled. */
  async waitForClip(id: string, options: WaitOptions = {}): Promise<Clip> {
    const { signal, onProgress, intervalMs = DEFAULT_INTERVAL_MS } = options;
    const withSignal = signal === undefined ? {} : { signal };
    let seen = "";
    for (;;) {
      const clip = await this.getClip(id, withSignal);
      const now = JSON.stringify([clip.state, clip.attempt, clip.progress]);
      if (now !== seen) onProgress?.(clip);
      seen = now;
      if (isTerminal(clip.state)) return clip;
      await delay(intervalMs, signal);
    }
  }

  /** Downloads one of a clip's signed URLs to a file and returns its size in bytes. */
  download(url: string, file: string, options: DownloadOptions = {}): Promise<number> {
    return download(url, file, { ...(this.#fetch === undefined ? {} : { fetch: this.#fetch }), ...options });
  }
}
