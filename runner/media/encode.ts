// Turns a clip's frames into the files that customers get.
import { mp4Arguments, PREVIEW_FRAME_STEP, posterArguments, previewArguments } from "./arguments.ts";
import { runFfmpeg } from "./ffmpeg.ts";
import type { Ffmpeg } from "./locate.ts";
import { markAsGenerated } from "./provenance.ts";

export interface Frames {
  /** RGB24, frames x height x width x 3 bytes. */
  readonly rgb: Buffer;
  readonly width: number;
  readonly height: number;
  readonly count: number;
}

export interface EncodeJob {
  readonly ffmpeg: Ffmpeg;
  readonly frames: Frames;
  readonly file: string;
  readonly signal?: AbortSignal | undefined;
}

/** Far above any clip (81 frames of 1280 x 720 take 2 s on one core), so that a hung ffmpeg is found. */
const ENCODE_TIMEOUT_MS = 300_000;

function frameBytes({ width, height }: Frames): number {
  return width * height * 3;
}

function requireWhole(frames: Frames): void {
  const expected = frames.count * frameBytes(frames);
  if (frames.count < 1 || frames.rgb.length !== expected) {
    throw new RangeError(
      `${frames.count} frames of ${frames.width}x${frames.height} have ${expected} bytes, got ${frames.rgb.length}`,
    );
  }
}

function eachFrame(frames: Frames): Uint8Array[] {
  const bytes = frameBytes(frames);
  return Array.from({ length: frames.count }, (_, i) => frames.rgb.subarray(i * bytes, (i + 1) * bytes));
}

/** Writes the MP4, marked as made by a model. Throws a MediaError. */
export async function encodeMp4({ ffmpeg, frames, file, signal }: EncodeJob): Promise<void> {
  requireWhole(frames);
  const args = mp4Arguments({ ...frames, encoder: ffmpeg.encoder }, file);
  await runFfmpeg({ path: ffmpeg.path, args, input: eachFrame(frames), signal, timeoutMs: ENCODE_TIMEOUT_MS });
  await markAsGenerated(file);
}

/** Writes the middle frame as a JPEG: the first one often shows nothing yet. Throws a MediaError. */
export async function encodePoster({ ffmpeg, frames, file, signal }: EncodeJob): Promise<void> {
  requireWhole(frames);
  const bytes = frameBytes(frames);
  const middle = Math.floor(frames.count / 2);
  const input = [frames.rgb.subarray(middle * bytes, (middle + 1) * bytes)];
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
