// Answers a download: headers and bytes of one output, whole or in part.
import { OUTPUT_TYPES } from "../../../shared/contract/runner.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { Ports } from "../ports.ts";
import { type DownloadTarget, type PresentedLink, verifyDownload } from "./link.ts";
import { OUTPUT_EXTENSIONS, outputKey } from "./output.ts";
import { matchesEtag, parseRange } from "./range.ts";

export interface FileRequest {
  readonly method: "GET" | "HEAD";
  readonly range: string | undefined;
  readonly ifRange: string | undefined;
  readonly ifNoneMatch: string | undefined;
}

export interface DownloadRequest extends FileRequest {
  readonly link: PresentedLink;
}

export interface DownloadAnswer {
  readonly status: 200 | 206 | 304;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: ReadableStream<Uint8Array> | null;
  /** Bytes of the body, were it a GET. */
  readonly length: number;
}

function gone(): ApiError {
  return new ApiError("expired", "This file is no longer kept.");
}

/** Throws unauthenticated, expired or range_not_satisfiable (with the size in its detail). */
export async function download(
  ports: Pick<Ports, "digest" | "signingKeys" | "clock" | "store" | "times">,
  request: DownloadRequest,
): Promise<DownloadAnswer> {
  await verifyDownload(ports, request.link);
  return await serveFile(ports, request.link, request);
}

/** For who may read it. Throws expired or range_not_satisfiable. */
export async function serveFile(
  ports: Pick<Ports, "store" | "times">,
  { clipId, attempt, kind }: DownloadTarget,
  request: FileRequest,
): Promise<DownloadAnswer> {
  const key = outputKey(clipId, attempt, kind);
  const object = await ports.store.head(key);
  if (object === null) throw gone();
  const shared = {
    etag: object.etag,
    "accept-ranges": "bytes",
    // An object never changes under its key, and each get of the clip signs a fresh URL.
    "cache-control": `private, max-age=${Math.floor(ports.times.downloadUrlMs / 1000)}, immutable`,
  };
  if (matchesEtag(request.ifNoneMatch, object.etag)) return { status: 304, headers: shared, body: null, length: 0 };
  const sameObject = request.ifRange === undefined || request.ifRange === object.etag;
  // A range is a matter of GET; on HEAD it is ignored (RFC 9110, section 14.2).
  const range = parseRange(request.method === "GET" && sameObject ? request.range : undefined, object.bytes);
  if (range.kind === "unsatisfiable") throw new UnsatisfiableRange(object.bytes);
  const { offset, length } = range.kind === "part" ? range : { offset: 0, length: object.bytes };
  const body = request.method === "HEAD" ? null : await ports.store.read(key, offset, length);
  if (request.method === "GET" && body === null) throw gone();
  const headers = {
    ...shared,
    "content-type": OUTPUT_TYPES[kind],
    "content-disposition": `inline; filename="${clipId}.${OUTPUT_EXTENSIONS[kind]}"`,
    "content-length": String(length),
    ...(range.kind === "part" && {
      "content-range": `bytes ${offset}-${offset + length - 1}/${object.bytes}`,
    }),
  };
  return { status: range.kind === "part" ? 206 : 200, headers, body, length };
}

/** Carries the size, which the answer must tell in Content-Range. */
export class UnsatisfiableRange extends ApiError {
  readonly size: number;

  constructor(size: number) {
    super("range_not_satisfiable", `The file has ${size} bytes; the range begins after its end.`);
    this.size = size;
  }
}
