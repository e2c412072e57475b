// What `bench` measured, as a Markdown table for people and as JSON for programs.
import { deviceName } from "../engine/device.ts";
import type { RenderSettings } from "../render/options.ts";
import { readVersion } from "../version.ts";
import type { ClipTimes, Measured } from "./measure.ts";

export interface BenchReport {
  readonly settings: RenderSettings;
  readonly measured: Measured;
}

const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(2)} GiB`;
const s = (value: number | undefined) => (value === undefined ? "" : `${value.toFixed(3)} s`);

export function toMarkdown({ settings: { request, sampling, device }, measured }: BenchReport): string {
  const { width, height, frames, steps, model } = request;
  const { first, warm, backToBack, memory, load } = measured;
  const row = (what: string, value: (clip: ClipTimes) => string) => `| ${what} | ${value(first)} | ${value(warm)} |`;
  const where = measured.device ?? deviceName(device);
  const lines = [
    `${model}, ${width}x${height}, ${frames} frames, ${steps} steps, decoder ${sampling.decoder}, ${where}, turboclip ${readVersion()}`,
    "",
    "| stage | first clip | warm clip |",
    "|---|---|---|",
    `| load | ${s(load)} | |`,
    row("text_encode", ({ timings }) => s(timings.text_encode)),
    ...first.steps.map((_, i) => row(`step ${i + 1}`, (clip) => s(clip.steps[i]))),
    row("decode", ({ timings }) => s(timings.decode)),
    row("prompt to frames", ({ sampled }) => s(sampled)),
    row("encode (MP4, poster and preview)", ({ timings }) => s(timings.encode)),
    row("prompt to files", ({ delivered }) => s(delivered)),
    row("MP4", ({ bytes }) => `${bytes} bytes`),
    ...(memory === undefined ? [] : [`| device memory, peak | | ${gib(memory.peak_bytes)} |`]),
  ];
  if (backToBack !== undefined) {
    const { clips, seconds, busy } = backToBack;
    lines.push("", `${clips} clips back to back: ${s(seconds)}, the engine busy for ${(100 * busy).toFixed(1)}% of it`);
  }
  return lines.join("\n");
}

export function toJson({ settings: { request, sampling, device, threads }, measured }: BenchReport): string {
  const { width, height, frames, steps, sampler, model } = request;
  const { backend, device: card, load, memory, first, warm, backToBack } = measured;
  return JSON.stringify({
    ...{ model, engine: `${backend}/${readVersion()}`, device: deviceName(device), card, threads },
    ...{ size: `${width}x${height}`, frames, steps, sampler, decoder: sampling.decoder },
    load_seconds: load,
    ...{ memory, first, warm, back_to_back: backToBack },
  });
}
