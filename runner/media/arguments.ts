// ffmpeg's arguments for our outputs. They hold for builds from 2018 to today, and give the same bytes
// for the same frames, build and encoder: no timestamps, no encoder tags, and a fixed number of threads (x264
// divides its work among threads, so that its output depends on their number, but not on the cores).
import { FRAMES_PER_SECOND } from "../../shared/models.ts";
import type { FrameSize } from "./frames.ts";
import { COMMENT } from "./provenance.ts";

/** In order of preference. */
export const VIDEO_ENCODERS = ["h264_nvenc", "libx264"] as const;
export type VideoEncoder = (typeof VIDEO_ENCODERS)[number];

const ENCODER_ARGUMENTS = {
  // Constant quality, about x264's crf 18; p5 is NVENC's "slow".
  h264_nvenc: ["-preset", "slow", "-rc", "vbr", "-cq", "19", "-b:v", "0", "-profile:v", "high"],
  libx264: ["-preset", "veryfast", "-crf", "17", "-profile:v", "high", "-threads", "16"],
} as const satisfies Record<VideoEncoder, readonly string[]>;

/** Exact and alike on every CPU, rather than the fastest. */
const SCALER_FLAGS = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact";
/** What the frames are, which raw video does not say of itself. */
const INPUT_COLOURS = "in_color_matrix=bt709:in_range=tv";
const BITEXACT = ["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact"] as const;

function rawInput({ width, height }: FrameSize, framesPerSecond: number = FRAMES_PER_SECOND): string[] {
  const format = ["-f", "rawvideo", "-pix_fmt", "nv12", "-s", `${width}x${height}`];
  return ["-nostdin", "-v", "error", "-y", ...format, "-r", String(framesPerSecond), "-i", "pipe:0", "-an"];
}

/**
 * NV12 frames on standard input to an MP4: H.264 High, 4:2:0, tagged as the BT.709 limited range that they are, index in
 * front, a comment that says what made it. The encoders take NV12 as it is: no pixel is converted on the way. Without a
 * file the result is thrown away.
 */
export function mp4Arguments(options: FrameSize & { readonly encoder: VideoEncoder }, file: string | null): string[] {
  return [
    ...rawInput(options),
    ...["-c:v", options.encoder, ...ENCODER_ARGUMENTS[options.encoder]],
    ...["-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709", "-color_range", "tv"],
    ...BITEXACT,
    ...["-metadata", `comment=${COMMENT}`],
    ...(file === null ? ["-f", "null", "-"] : ["-movflags", "+faststart+write_colr", "-f", "mp4", file]),
  ];
}

/** One NV12 frame on standard input to a JPEG, whose colours are BT.601 full range by the JFIF standard. */
export function posterArguments(size: FrameSize, file: string): string[] {
  return [
    ...rawInput(size),
    ...["-vf", `scale=${INPUT_COLOURS}:out_color_matrix=bt601:out_range=pc:${SCALER_FLAGS},format=yuvj420p`],
    ...["-frames:v", "1", "-c:v", "mjpeg", "-q:v", "2"],
    ...BITEXACT,
    ...["-f", "mjpeg", file],
  ];
}

/** A preview has every second frame of its clip. */
export const PREVIEW_FRAME_STEP = 2;
/** Pixels of its longer side at most. */
const PREVIEW_SIDE = 240;
/** The palette is found in every eighth of its frames, at a third of their size: four times quicker, and as good. */
const PALETTE = "select='not(mod(n,8))',scale=iw/3:ih/3:flags=area,palettegen";

/**
 * NV12 frames on standard input to a GIF that repeats for ever, with one palette for all of it. An ordered dither: it
 * stands still where the clip does, which also makes the file small.
 */
export function previewArguments({ width, height }: FrameSize, file: string): string[] {
  const scale = Math.min(1, PREVIEW_SIDE / Math.max(width, height));
  const size = `${Math.round(width * scale)}:${Math.round(height * scale)}`;
  const colours = `split[all][shown];[all]${PALETTE}[palette];[shown][palette]paletteuse=dither=bayer:bayer_scale=4`;
  return [
    ...rawInput({ width, height }, FRAMES_PER_SECOND / PREVIEW_FRAME_STEP),
    ...["-vf", `scale=${size}:${INPUT_COLOURS}:flags=area+accurate_rnd+bitexact,format=rgb24,${colours}`],
    ...["-c:v", "gif", "-loop", "0"],
    ...BITEXACT,
    ...["-f", "gif", file],
  ];
}
