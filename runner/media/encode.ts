// Turns a clip's frames into the files that customers get.
import { mp4Arguments, PREVIEW_FRAME_STEP, posterArguments, previewArguments } from "./arguments.ts";
import { runFfmpeg } from "./ffmpeg.ts";
import { eachFrame, type FrameSize, type Frames, frameBytes, requireWhole } from "./frames.ts";
import type { Ffmpeg } from "./locate.ts";
import { markAsGenerated } from "./provenance.ts";

export interface EncodeJob {
  readonly ffmpeg: Ffmpeg;
  readonly frames: Frames;
  readonly file: string;
  readonly signal?: AbortSignal | undefined;
}

/** Frames that may still come. */
export interface StreamJob extends FrameSize {
  readonly ffmpeg: Ffmpeg;
  readonly frames: Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
  readonly file: string;
  readonly signal?: AbortSignal | undefined;
}

/** Far above any clip (81 frames of 1280 x 720 take 2 s on one core), so that a hung ffmpeg is found. */
const ENCODE_TIMEOUT_MS = 300_000;

/** Writes the MP4, marked as made by a model. Throws a MediaError. */
export async function encodeMp4({ ffmpeg, frames, file, signal }: EncodeJob): Promise<void> {
  requireWhole(frames);
  const { width, height } = frames;
  await streamMp4({ ffmpeg, frames: eachFrame(frames), width, height, file, signal });
}

/** The same as the frames come. The time that it may take counts from its beginning. Throws a MediaError. */
export async function streamMp4({ ffmpeg, frames, width, height, file, signal }: StreamJob): Promise<void> {
  const args = mp4Arguments({ width, height, encoder: ffmpeg.encoder }, file);
  await runFfmpeg({ path: ffmpeg.path, args, input: frames, signal, timeoutMs: ENCODE_TIMEOUT_MS });
  await markAsGenerated(file);
}

/** Writes the middle frame as a JPEG: the first one often shows nothing yet. Throws a MediaError. */
export async function encodePoster({ ffmpeg, frames, file, signal }: EncodeJob): Promise<void> {
  requireWhole(frames);
  const bytes = frameBytes(frames);
  const middle = Math.floor(frames.count / 2);
  const input = [frames.nv12.subarray(middle * bytes, (middle + 1) * bytes)];
  const args = posterArguments(frames, file);
  await runFfmpeg({ path: ffmpeg.path, args, input, signal, timeoutMs: ENCODE_TIMEOUT_MS });
}

/** Writes a small GIF of the clip, for where no video plays. Throws a MediaError. */
export async function encodePreview({ ffmpeg, frames, file, signal }: EncodeJob): Promise<void> {
  requireWhole(frames);
  const args = previewArguments(frames, file);
  const input = eachFrame(frames).filter((_, i) => i % PREVIEW_FRAME_STEP === 0);
  await runFfmpeg({ path: ffmpeg.path, args, input, signal, timeoutMs: ENCODE_TIMEOUT_MS });
}
