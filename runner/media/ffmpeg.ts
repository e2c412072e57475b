// Runs ffmpeg: frames in by its standard input, files out, its last words kept for the message if it fails.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { Readable, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";

export type MediaErrorKind = "missing" | "failed" | "disk_full" | "timeout" | "aborted";

export class MediaError extends Error {
  readonly kind: MediaErrorKind;

  constructor(kind: MediaErrorKind, message: string) {
    super(message);
    this.name = "MediaError";
    this.kind = kind;
  }
}

export interface FfmpegRun {
  readonly path: string;
  readonly args: readonly string[];
  /** Written to standard input with back-pressure, then closed. */
  readonly input?: Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs: number;
}

const LAST_LINES = 5;
const KEPT_CHARACTERS = 64 * 1024;

/** Resolves with standard output (at most 64 Ki characters of it) when ffmpeg has ended with 0. */
export async function runFfmpeg({ path, args, input, signal, timeoutMs }: FfmpegRun): Promise<string> {
  if (signal?.aborted) throw new MediaError("aborted", "encoding was stopped before it began");
  // A session of its own: a terminal's Ctrl-C is for the runner, which decides what becomes of the clip.
  // No orphan comes of it, since ffmpeg ends with its input when we are gone.
  const child = spawn(path, args, { stdio: ["pipe", "pipe", "pipe"], detached: true });
  let stderr = "";
  let stdout = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr = (stderr + text).slice(-KEPT_CHARACTERS);
  });
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout = (stdout + text).slice(0, KEPT_CHARACTERS);
  });
  let stopped: MediaErrorKind | undefined;
  const stop = (why: MediaErrorKind) => {
    stopped ??= why;
    child.kill("SIGKILL");
  };
  const onAbort = () => stop("aborted");
  signal?.addEventListener("abort", onAbort, { once: true });
  const timer = setTimeout(() => stop("timeout"), timeoutMs);
  try {
    const ended = once(child, "close"); // rejects when it cannot be started
    await Promise.all([ended, feed(child.stdin, input ?? [])]);
    if (child.exitCode === 0 && stopped === undefined) return stdout;
    throw failure(path, stopped, child, stderr, timeoutMs);
  } catch (error) {
    if (error instanceof MediaError) throw error;
    child.kill("SIGKILL");
    const reason = error instanceof Error ? error.message : String(error);
    throw new MediaError("missing", `cannot start ffmpeg (${path}): ${reason}`);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

/** Writes with back-pressure; when the reader has gone, its exit status and last words say why. */
async function feed(stdin: Writable, input: NonNullable<FfmpegRun["input"]>): Promise<void> {
  try {
    await pipeline(Readable.from(input, { objectMode: false }), stdin);
  } catch {
    // EPIPE, or closed before the end.
  }
}

function failure(
  path: string,
  stopped: MediaErrorKind | undefined,
  child: ChildProcess,
  stderr: string,
  timeoutMs: number,
): MediaError {
  if (stopped === "aborted") return new MediaError("aborted", "encoding was stopped");
  if (stopped === "timeout") return new MediaError("timeout", `ffmpeg did not end within ${timeoutMs / 1_000} s`);
  const said = stderr.trim().split("\n").slice(-LAST_LINES).join(" | ").trim();
  if (/No space left on device/i.test(said)) {
    return new MediaError("disk_full", `the disk is full: ${said}`);
  }
  const how = child.signalCode === null ? `ended with status ${child.exitCode}` : `was ended by ${child.signalCode}`;
  return new MediaError("failed", `ffmpeg (${path}) ${how}${said === "" ? "" : `: ${said}`}`);
}
