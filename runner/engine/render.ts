// One clip inside the engine process, in two parts: its frames, which take the engine, and its files, which
// leave it free for the next clip. Progress and seconds by stage.
import { join } from "node:path";
import type { Timings } from "../../shared/contract/clips.ts";
import type { ClipRequest, HeartbeatRequest } from "../../shared/contract/runner.ts";
import { digestFile } from "../media/digest.ts";
import { encodeMp4, encodePoster, encodePreview, type Frames } from "../media/encode.ts";
import type { Ffmpeg } from "../media/locate.ts";
import type { PromptTokenizer } from "../text/tokenizer.ts";
import type { EngineProgress, LoadedEngine } from "./native.ts";
import type { Output, RenderCommand, Rendered } from "./protocol.ts";

export interface SampleTools {
  readonly engine: LoadedEngine;
  readonly tokenizer: PromptTokenizer;
}

export interface SampledClip {
  readonly frames: Frames;
  readonly timings: Timings;
}

export type ReportProgress = (progress: HeartbeatRequest) => void;

/** Rejects with the native error. */
export async function sampleClip(
  tools: SampleTools,
  { request, sampling }: RenderCommand,
  report: ReportProgress,
): Promise<SampledClip> {
  const { width, height, frames, steps, sampler, seed } = request;
  const tokenIds = tools.tokenizer.encode(request.prompt);
  const generated = await tools.engine.generate(
    { tokenIds, width, height, frames, steps, sampler, seed, ...sampling },
    countSteps(request, report),
  );
  return { frames: { rgb: generated.frames, width, height, count: frames }, timings: generated.timings };
}

/** Rejects with a MediaError, or what reading the files back gave. */
export async function writeClip(
  ffmpeg: Ffmpeg,
  { frames, timings }: SampledClip,
  folder: string,
  signal: AbortSignal,
): Promise<Rendered> {
  const began = performance.now();
  const outputs = await writeOutputs(ffmpeg, frames, folder, signal);
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

async function writeOutputs(
  ffmpeg: Ffmpeg,
  frames: Frames,
  folder: string,
  signal: AbortSignal,
): Promise<Rendered["outputs"]> {
  const mp4 = join(folder, "clip.mp4");
  const poster = join(folder, "poster.jpg");
  const preview = join(folder, "preview.gif");
  await encodeMp4({ ffmpeg, frames, file: mp4, signal });
  await encodePoster({ ffmpeg, frames, file: poster, signal });
  await encodePreview({ ffmpeg, frames, file: preview, signal });
  return {
    mp4: await describeFile(mp4),
    poster: await describeFile(poster),
    preview: await describeFile(preview),
  };
}

async function describeFile(path: string): Promise<Output> {
  return { path, ...(await digestFile(path)) };
}
