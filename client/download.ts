// Downloads a signed URL to a file: resumed with Range where the connection broke, under a temporary name
// until it is whole.
import { createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { errorFromAnswer, TurboclipError, unreachable } from "./errors.ts";
import { delay } from "./http.ts";

export interface DownloadOptions {
  readonly signal?: AbortSignal;
  /** Stands in for the global one. */
  readonly fetch?: typeof fetch;
  /** Larger files are refused; 1 GB if absent. */
  readonly maxBytes?: number;
  /** Broken connections that are resumed; 5 if absent. */
  readonly resumes?: number;
  /** First wait before resuming, doubled each time; 250 ms if absent. */
  readonly retryDelayMs?: number;
  /** Limit of each connection; 5 minutes if absent. */
  readonly timeoutMs?: number;
}

const DEFAULT_MAX_BYTES = 1_000_000_000;
const DEFAULT_RESUMES = 5;
const DEFAULT_RETRY_DELAY_MS = 250;
const MAX_RETRY_DELAY_MS = 5_000;
const DEFAULT_TIMEOUT_MS = 300_000;

/** How far a download has come. The entity tag keeps a resumed part from coming from another file. */
interface Part {
  readonly path: string;
  bytes: number;
  total: number | undefined;
  etag: string | null;
}

/** Returns the file's size in bytes. On failure nothing is left behind. */
export async function download(url: string, file: string, options: DownloadOptions = {}): Promise<number> {
  const { resumes = DEFAULT_RESUMES, retryDelayMs = DEFAULT_RETRY_DELAY_MS, signal } = options;
  const part: Part = { path: `${file}.${process.pid}.part`, bytes: 0, total: undefined, etag: null };
  try {
    for (let attempt = 0; ; attempt++) {
      try {
        await fetchInto(part, url, options);
        break;
      } catch (error) {
        signal?.throwIfAborted();
        if (attempt >= resumes || !(error instanceof TurboclipError) || !error.retryable) throw error;
        await delay(Math.min(retryDelayMs * 2 ** attempt, MAX_RETRY_DELAY_MS), signal);
      }
    }
    await rename(part.path, file);
    return part.bytes;
  } finally {
    await rm(part.path, { force: true });
  }
}

/** One connection's worth: appends to the part, or starts it afresh when the server sends the whole again. */
async function fetchInto(part: Part, url: string, options: DownloadOptions): Promise<void> {
  const { fetch: send = fetch, maxBytes = DEFAULT_MAX_BYTES, timeoutMs = DEFAULT_TIMEOUT_MS, signal } = options;
  const limit = AbortSignal.timeout(timeoutMs);
  const resumed = part.bytes > 0 && part.etag !== null;
  const headers = resumed ? { range: `bytes=${part.bytes}-`, "if-range": part.etag ?? "" } : {};
  let reply: Response;
  try {
    reply = await send(url, { headers, signal: signal === undefined ? limit : AbortSignal.any([signal, limit]) });
  } catch (error) {
    throw unreachable("download", error);
  }
  if (!reply.ok || reply.body === null) {
    throw errorFromAnswer(reply.status, await reply.text(), reply.headers.get("retry-after"));
  }
  const append = resumed && reply.status === 206 && startsAt(reply, part.bytes);
  if (!append) part.bytes = 0;
  const announced = Number(reply.headers.get("content-length") ?? Number.NaN);
  part.total = Number.isFinite(announced) ? part.bytes + announced : undefined;
  part.etag = reply.headers.get("etag");
  if ((part.total ?? 0) > maxBytes) throw tooLarge(part.total ?? 0, maxBytes);
  await appendBody(part, reply.body, append, maxBytes);
  if (part.total !== undefined && part.bytes !== part.total) {
    throw unreachable("download", new Error(`${part.bytes} of ${part.total} bytes arrived`));
  }
}

async function appendBody(
  part: Part,
  body: NonNullable<Response["body"]>,
  append: boolean,
  maxBytes: number,
): Promise<void> {
  const sink = createWriteStream(part.path, { flags: append ? "a" : "w" });
  let broken: unknown;
  async function* counted(): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of Readable.fromWeb(body)) {
        const bytes: Uint8Array = chunk;
        part.bytes += bytes.byteLength;
        if (part.bytes > maxBytes) throw tooLarge(part.bytes, maxBytes);
        yield bytes;
      }
    } catch (error) {
      if (error instanceof TurboclipError) throw error;
      broken = error; // what arrived is kept, and the next connection goes on from there
    }
  }
  await pipeline(counted, sink);
  if (broken !== undefined) throw unreachable("download", broken);
}

function startsAt(reply: Response, offset: number): boolean {
  return reply.headers.get("content-range")?.startsWith(`bytes ${offset}-`) ?? false;
}

function tooLarge(bytes: number, maxBytes: number): TurboclipError {
  return new TurboclipError({
    code: "unexpected_answer",
    message: `the file has ${bytes} bytes or more, over the limit of ${maxBytes}`,
    retryable: false,
  });
}
