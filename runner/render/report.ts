// What `render` says about a finished clip, for people and for programs.
import { deviceName } from "../engine/device.ts";
import { readVersion } from "../version.ts";
import type { RenderSettings } from "./options.ts";
import type { RenderedFile } from "./render-file.ts";

export interface Report {
  readonly file: string;
  readonly poster: string | undefined;
  readonly settings: RenderSettings;
  readonly rendered: RenderedFile;
}

export function toJson({ file, poster, settings: { request, sampling, device, threads }, rendered }: Report): string {
  const { bytes, sha256 } = rendered.outputs.mp4;
  const { width, height, frames, steps, sampler, seed, model } = request;
  return JSON.stringify({
    ...{ file, bytes, sha256, poster, seed, model },
    settings: {
      ...{ size: `${width}x${height}`, frames, steps, sampler, sigma_max: sampling.sigmaMax },
      ...{ attention: sampling.attention, topk: sampling.topkRatio, decoder: sampling.decoder },
      ...{ device: deviceName(device), threads },
    },
    timings: rendered.timings,
    engine: `${rendered.backend}/${readVersion()}`,
  });
}

export function toText({ file, settings: { request }, rendered }: Report): string {
  const { width, height, frames, steps, seed, model } = request;
  const stages = Object.entries(rendered.timings).map(([stage, s]) => `${stage.replace("_", " ")} ${s.toFixed(2)} s`);
  const size = `${(rendered.outputs.mp4.bytes / 1024).toFixed(0)} KiB`;
  return [
    `${file} (${size}): ${width}x${height}, ${frames} frames, ${steps} steps, seed ${seed}, ${model}`,
    stages.join(", "),
  ].join("\n");
}
