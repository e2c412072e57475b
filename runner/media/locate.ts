// Finds ffmpeg on this host and an H.264 encoder in it that really encodes here.
import { arch, platform } from "node:os";
import { mp4Arguments, VIDEO_ENCODERS, type VideoEncoder } from "./arguments.ts";
import { MediaError, runFfmpeg } from "./ffmpeg.ts";
import { frameBytes } from "./frames.ts";

export interface Ffmpeg {
  readonly path: string;
  /** As it names itself: "ffmpeg version 5.1.9-0+deb12u1". */
  readonly version: string;
  readonly encoder: VideoEncoder;
}

const PROBE_TIMEOUT_MS = 20_000;
const PROBE = { width: 256, height: 192, frames: 4 } as const;

/**
 * FFMPEG_PATH if set (then no other is tried), else the one on PATH, else the bundled one. Throws a
 * MediaError that says what was tried.
 */
export async function findFfmpeg(env: { readonly FFMPEG_PATH?: string | undefined }): Promise<Ffmpeg> {
  const candidates = env.FFMPEG_PATH ? [env.FFMPEG_PATH] : ["ffmpeg", await bundledPath()];
  const problems: string[] = [];
  for (const path of candidates) {
    if (path === undefined) continue;
    try {
      const version = await readVersion(path);
      return { path, version, encoder: await probeEncoder(path) };
    } catch (error) {
      if (!(error instanceof MediaError)) throw error;
      problems.push(error.message);
    }
  }
  const remedy = env.FFMPEG_PATH
    ? "FFMPEG_PATH must name an ffmpeg with h264_nvenc or libx264"
    : `install ffmpeg with libx264, or set FFMPEG_PATH (nothing is bundled for ${platform()}-${arch()} if none was tried)`;
  throw new MediaError("missing", `no usable ffmpeg: ${remedy}. Tried: ${problems.join("; ")}`);
}

async function readVersion(path: string): Promise<string> {
  const said = await runFfmpeg({ path, args: ["-version"], timeoutMs: PROBE_TIMEOUT_MS });
  const version = /^ffmpeg version \S+/.exec(said);
  if (version === null) throw new MediaError("missing", `${path} is not ffmpeg`);
  return version[0];
}

/** The optional package's binary; undefined where it is not installed or has none for this platform. */
async function bundledPath(): Promise<string | undefined> {
  try {
    const bundled = await import("@ffmpeg-installer/ffmpeg");
    return bundled.default.path;
  } catch {
    return undefined; // optional: the caller's message says what to install
  }
}

/** A build may list NVENC on a card that has none, so each encoder has to encode a few frames. */
async function probeEncoder(path: string): Promise<VideoEncoder> {
  const frame = new Uint8Array(frameBytes(PROBE));
  const problems: string[] = [];
  for (const encoder of VIDEO_ENCODERS) {
    try {
      await runFfmpeg({
        path,
        args: mp4Arguments({ ...PROBE, encoder }, null),
        input: Array.from({ length: PROBE.frames }, () => frame),
        timeoutMs: PROBE_TIMEOUT_MS,
      });
      return encoder;
    } catch (error) {
      if (!(error instanceof MediaError)) throw error;
      problems.push(`${encoder}: ${error.message}`);
    }
  }
  throw new MediaError("failed", `${path} has no H.264 encoder that works here (${problems.join("; ")})`);
}
