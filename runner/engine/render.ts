// One clip inside the engine process, in two parts: its frames, which take the engine, and its files, which
// leave it free for the next clip; the MP4 begins with the first frames. Progress and seconds by stage.
import { join } from "node:path";
import type { Timings } from "../../shared/contract/clips.ts";
import type { ClipRequest, HeartbeatRequest } from "../../shared/contract/runner.ts";
import { digestFile } from "../media/digest.ts";
import { encodePoster, encodePreview, streamMp4 } from "../media/encode.ts";
import { ArrivingFrames, type Frames } from "../media/frames.ts";
import type { Ffmpeg } from "../media/locate.ts";
import type { PromptTokenizer } from "../text/tokenizer.ts";
import type { EngineProgress, LoadedEngine } from "./native.ts";
import type { Output, RenderCommand, Rendered } from "./protocol.ts";

export interface RenderTools {
  readonly engine: LoadedEngine;
  readonly tokenizer: PromptTokenizer;
  readonly ffmpeg: Ffmpeg;
  /** Of this job's; aborted, ffmpeg stops. The engine is cancelled by itself. */
  readonly signal: AbortSignal;
  readonly report: ReportProgress;
}

export interface SampledClip {
  readonly frames: Frames;
  readonly timings: Timings;
  /** The MP4, which began with the first frame; settled once, also when nobody asks. */
  readonly mp4: Promise<void>;
}

export type ReportProgress = (progress: HeartbeatRequest) => void;

const FILES = { mp4: "clip.mp4", poster: "poster.jpg", preview: "preview.gif" } as const;

/** Rejects with the native error. */
export async function sampleClip(
  tools: RenderTools,
  { request, sampling, folder }: RenderCommand,
): Promise<SampledClip> {
  const { width, height, frames: count, steps, sampler, seed } = request;
  const tokenIds = tools.tokenizer.encode(request.prompt);
  const arriving = new ArrivingFrames({ width, height });
  const brokenOff = new AbortController();
  const signal = AbortSignal.any([tools.signal, brokenOff.signal]);
  let mp4: Promise<void> | undefined;
  const begin = () => {
    const file = join(folder, FILES.mp4);
    mp4 ??= streamMp4({ ffmpeg: tools.ffmpeg, frames: arriving, width, height, file, signal });
    mp4.catch(() => {});
    return mp4;
  };
  try {
    const generated = await tools.engine.generate(
      { tokenIds, width, height, frames: count, steps, sampler, seed, ...sampling, pixels: "nv12" },
      countSteps(request, tools.report),
      (nv12, first, more) => {
        arriving.push(nv12, first + more);
        void begin();
      },
    );
    arriving.push(generated.frames, count);
    arriving.end();
    return { frames: { nv12: generated.frames, width, height, count }, timings: generated.timings, mp4: begin() };
  } catch (error) {
    brokenOff.abort();
    arriving.end();
    await mp4?.catch(() => {});
    throw error;
  }
}

/** Rejects with a MediaError, or what reading the files back gave. `encode` is what the files took beyond the frames. */
export async function writeClip(
  ffmpeg: Ffmpeg,
  { frames, timings, mp4 }: SampledClip,
  folder: string,
  signal: AbortSignal,
): Promise<Rendered> {
  const began = performance.now();
  const [poster, preview] = [join(folder, FILES.poster), join(folder, FILES.preview)];
  await Promise.all([
    mp4,
    encodePoster({ ffmpeg, frames, file: poster, signal }),
    encodePreview({ ffmpeg, frames, file: preview, signal }),
  ]);
  const outputs = {
    mp4: await describeFile(join(folder, FILES.mp4)),
    poster: await describeFile(poster),
    preview: await describeFile(preview),
  };
  return { kind: "rendered", outputs, timings: { ...timings, encode: (performance.now() - began) / 1_000 } };
}

/**
 * Fractions become finished steps, denoising's own and decoding's latent frames, told when they change and at
 * every thousandth of the stage between: a large model's step may take minutes, and shows that it is alive.
 */
function countSteps(request: ClipRequest, report: ReportProgress): (progress: EngineProgress) => void {
  const stepsOf = { text_encode: 1, denoise: request.steps, decode: 1 + (request.frames - 1) / 4 } as const;
  let told = "";
  return ({ stage, fraction }) => {
    const steps = stepsOf[stage];
    const step = Math.min(steps, Math.floor(fraction * steps + ROUNDING));
    const news = `${stage} ${step} ${Math.floor(fraction * 1_000)}`;
    if (told === news) return;
    told = news;
    report({ stage, step, steps, fraction });
  };
}

/** A third of three steps may arrive as 0.99999. */
const ROUNDING = 1e-6;

async function describeFile(path: string): Promise<Output> {
  return { path, ...(await digestFile(path)) };
}
