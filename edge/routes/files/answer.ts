// How routes that answer with a file read the request and write the answer.
import type { Context } from "hono";
import type { EdgeEnv } from "../../context.ts";
import type { DownloadAnswer, FileRequest } from "../../services/files/download.ts";

const file = { content: { "video/mp4": {}, "image/jpeg": {}, "image/gif": {} } };

export const FILE_ANSWERS = {
  200: { description: "The whole file", ...file },
  206: { description: "The part asked for", ...file },
  304: { description: "Unchanged" },
};

export function fileRequest({ req }: Context<EdgeEnv>): FileRequest {
  return {
    method: req.method === "HEAD" ? "HEAD" : "GET",
    range: req.header("range"),
    ifRange: req.header("if-range"),
    ifNoneMatch: req.header("if-none-match"),
  };
}

export function answerFile(context: Context<EdgeEnv>, answer: DownloadAnswer) {
  // A stream of known length, so that the answer has Content-Length instead of chunks.
  const body = answer.body?.pipeThrough(new FixedLengthStream(answer.length)) ?? null;
  return context.newResponse(body, answer.status, answer.headers);
}
