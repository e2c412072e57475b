// The TypeScript client: create, watch, cancel, download and delete clips, and manage keys.
//
//   const client = new TurboclipClient({ origin: "https://...", apiKey: "tc_live_..." });
//   const created = await client.createClip({ model: "turboclip-demo", prompt: "waves at night" });
//   const clip = await client.waitForClip(created.id);
//   if (clip.output) await client.download(clip.output.mp4.url, "waves.mp4");
import type * as z from "zod";
import { type Balance, balanceSchema } from "../shared/contract/balance.ts";
import {
  type Clip,
  type ClipPage,
  type CreateClipInput,
  clipBatchSchema,
  clipPageSchema,
  clipSchema,
  type Estimate,
  estimateSchema,
} from "../shared/contract/clips.ts";
import { type CreateUpload, type PictureType, uploadSchema } from "../shared/contract/uploads.ts";
import { isTerminal, type PublicState } from "../shared/states.ts";
import { type DownloadOptions, download } from "./download.ts";
import { Connection, type ConnectionOptions, delay, NO_CONTENT } from "./http.ts";
import { KeysClient } from "./keys.ts";
import { putFile } from "./put.ts";

export { type ClientErrorCode, TurboclipError } from "./errors.ts";

export type TurboclipClientOptions = ConnectionOptions;

export interface OrderOptions {
  readonly idempotencyKey?: string;
  readonly signal?: AbortSignal;
}

export interface WaitOptions {
  readonly signal?: AbortSignal;
  /** Called with the clip each time its state or progress has changed, the final one included. */
  readonly onProgress?: (clip: Clip) => void;
  /** Between two looks; 200 ms if absent. */
  readonly intervalMs?: number;
}

export interface ListOptions {
  readonly state?: PublicState;
  readonly model?: string;
  readonly createdFrom?: Date;
  readonly createdUntil?: Date;
  /** All of these names have these values. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Clips a request; 20 if absent, at most 100. */
  readonly pageSize?: number;
  readonly signal?: AbortSignal;
}

const DEFAULT_INTERVAL_MS = 200;

export class TurboclipClient {
  readonly #connection: Connection;
  readonly #fetch: typeof fetch | undefined;
  readonly keys: KeysClient;

  constructor(options: TurboclipClientOptions) {
    this.#connection = new Connection(options);
    this.keys = new KeysClient(this.#connection);
    this.#fetch = options.fetch;
  }

  /**
   * Orders a clip. Without an idempotency key of yours each call gets a fresh one, so that a repeat after a
   * lost answer finds the same clip.
   */
  createClip(input: Omit<CreateClipInput, "n">, options: OrderOptions = {}): Promise<Clip> {
    return this.#order(input, clipSchema, options);
  }

  /** Orders `n` clips that differ by their seed, all or none; as often as it is repeated, once. */
  async createClips(input: CreateClipInput & { n: number }, options: OrderOptions = {}): Promise<Clip[]> {
    return (await this.#order(input, clipBatchSchema, options)).data;
  }

  #order<T>(body: CreateClipInput, answer: z.ZodType<T>, options: OrderOptions): Promise<T> {
    return this.#connection.call({
      method: "POST",
      path: "/v1/clips",
      body,
      headers: { "idempotency-key": options.idempotencyKey ?? crypto.randomUUID() },
      answer,
      signal: options.signal,
    });
  }

  /** What an order would cost and how long it would wait; nothing is ordered. */
  estimateClip(input: CreateClipInput, options: { signal?: AbortSignal } = {}): Promise<Estimate> {
    return this.#connection.call({
      method: "POST",
      path: "/v1/clips/estimate",
      body: input,
      answer: estimateSchema,
      signal: options.signal,
    });
  }

  getClip(id: string, options: { signal?: AbortSignal } = {}): Promise<Clip> {
    const path = `/v1/clips/${encodeURIComponent(id)}`;
    return this.#connection.call({ method: "GET", path, answer: clipSchema, signal: options.signal });
  }

  /** Your clips, newest first, fetched a page at a time as they are asked for. */
  async *listClips(options: ListOptions = {}): AsyncGenerator<Clip, void> {
    const query = listQuery(options);
    for (;;) {
      const page: ClipPage = await this.#connection.call({
        method: "GET",
        path: `/v1/clips?${query.toString()}`,
        answer: clipPageSchema,
        signal: options.signal,
      });
      yield* page.data;
      if (page.next === null) return;
      query.set("after", page.next);
    }
  }

  cancelClip(id: string, options: { signal?: AbortSignal } = {}): Promise<Clip> {
    const path = `/v1/clips/${encodeURIComponent(id)}/cancel`;
    return this.#connection.call({ method: "POST", path, answer: clipSchema, signal: options.signal });
  }

  /** Erases a clip that has ended; what it cost stays in the ledger. Deleting it again changes nothing. */
  async deleteClip(id: string, options: { signal?: AbortSignal } = {}): Promise<void> {
    const path = `/v1/clips/${encodeURIComponent(id)}`;
    await this.#connection.call({ method: "DELETE", path, answer: NO_CONTENT, signal: options.signal });
  }

  /** Brings a picture: signs, puts and completes it. Throws upload_rejected for what is no such picture. */
  async uploadPicture(bytes: Uint8Array, contentType: PictureType, options: { signal?: AbortSignal } = {}) {
    const body: CreateUpload = { content_type: contentType, bytes: bytes.byteLength };
    const call = { method: "POST", answer: uploadSchema, signal: options.signal } as const;
    const upload = await this.#connection.call({ ...call, path: "/v1/uploads", body });
    await putFile(upload, bytes, { fetch: this.#fetch ?? fetch, ...options });
    return await this.#connection.call({ ...call, path: `/v1/uploads/${upload.id}/complete` });
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

function listQuery(options: ListOptions): URLSearchParams {
  const { state, model, createdFrom, createdUntil, metadata = {}, pageSize } = options;
  const query = new URLSearchParams();
  const set = (name: string, value: string | undefined) => value !== undefined && query.set(name, value);
  set("state", state);
  set("model", model);
  set("created_from", createdFrom?.toISOString());
  set("created_until", createdUntil?.toISOString());
  set("limit", pageSize?.toString());
  for (const [name, value] of Object.entries(metadata)) query.append("metadata", `${name}=${value}`);
  return query;
}
