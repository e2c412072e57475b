// Puts a file where an upload's signed URL says.
import type { Upload } from "../shared/contract/uploads.ts";
import { TurboclipError, unreachable } from "./errors.ts";

export interface PutOptions {
  readonly fetch: typeof fetch;
  readonly signal?: AbortSignal;
}

/** 20 MB at 70 kB a second. */
const TIMEOUT_MS = 300_000;

/** One try; the store refuses a second file at the same URL, so that 412 means that the first one arrived. */
export async function putFile({ put }: Upload, bytes: Uint8Array, options: PutOptions): Promise<void> {
  if (put === null) throw new RangeError("only a new upload says where to put its file");
  const limit = AbortSignal.timeout(TIMEOUT_MS);
  let reply: Response;
  try {
    reply = await options.fetch(put.url, {
      method: "PUT",
      headers: put.headers,
      body: Uint8Array.from(bytes),
      signal: options.signal === undefined ? limit : AbortSignal.any([options.signal, limit]),
    });
    await reply.arrayBuffer();
  } catch (error) {
    if (options.signal?.aborted) throw options.signal.reason;
    throw unreachable("PUT of the file", error);
  }
  if (reply.ok || reply.status === 412) return;
  throw new TurboclipError({
    code: "unexpected_answer",
    message: `the store answered the PUT of the file with ${reply.status}`,
    retryable: reply.status >= 500,
    status: reply.status,
  });
}
