// Puts one output file where its signed URL says. The URL is asked for anew before each try, since it may have
// run out, and a file that is already there (412) was put by a try whose answer was lost.
import { createReadStream, type ReadStream } from "node:fs";
import { Readable } from "node:stream";
import { type Dispatcher, request } from "undici";
import { OUTPUT_TYPES, type OutputKind } from "../../shared/contract/runner.ts";
import type { Output } from "../engine/protocol.ts";
import { type EdgeClient, EdgeError, reasonOf } from "./edge-client.ts";

export interface UploadTools {
  readonly edge: EdgeClient;
  readonly dispatcher: Dispatcher;
}

/** Without a byte moving for this long the connection is dead. */
const IDLE_TIMEOUT_MS = 60_000;
/** 200 MB at 700 kB a second. */
const TOTAL_TIMEOUT_MS = 300_000;

export interface Upload {
  readonly kind: OutputKind;
  readonly output: Output;
  /** Told the share of the file that has gone out. */
  readonly onSent: (share: number) => void;
}

/** Throws an EdgeError; one try, to be repeated by persist(). */
export async function uploadOutput(
  { edge, dispatcher }: UploadTools,
  token: string,
  { kind, output, onSent }: Upload,
  signal: AbortSignal,
): Promise<void> {
  const { bytes, md5, path } = output;
  const { url, headers } = await edge.requestUpload(token, { kind, bytes, md5, type: OUTPUT_TYPES[kind] }, signal);
  const body = Readable.from(
    counted(createReadStream(path), (sent) => onSent(sent / bytes)),
    { objectMode: false },
  );
  const status = await put(dispatcher, url, { headers, body }, signal);
  const stored = (status >= 200 && status <= 299) || status === 412;
  if (!stored) throw new EdgeError("unwell", `the store answered the upload of the ${kind} with ${status}`);
}

/** The file as it is; onSent is told how many bytes have been taken so far. */
async function* counted(file: ReadStream, onSent: (bytes: number) => void): AsyncGenerator<Buffer> {
  let sent = 0;
  for await (const chunk of file as AsyncIterable<Buffer>) {
    yield chunk;
    sent += chunk.length;
    onSent(sent);
  }
}

async function put(
  dispatcher: Dispatcher,
  url: string,
  { headers, body }: { readonly headers: Readonly<Record<string, string>>; readonly body: Readable },
  signal: AbortSignal,
): Promise<number> {
  try {
    const reply = await request(url, {
      method: "PUT",
      dispatcher,
      headers: { ...headers },
      body,
      headersTimeout: IDLE_TIMEOUT_MS,
      bodyTimeout: IDLE_TIMEOUT_MS,
      signal: AbortSignal.any([signal, AbortSignal.timeout(TOTAL_TIMEOUT_MS)]),
    });
    await reply.body.dump();
    return reply.statusCode;
  } catch (error) {
    signal.throwIfAborted();
    throw new EdgeError("unreachable", `the store did not answer: ${reasonOf(error)}`);
  } finally {
    body.destroy();
  }
}
