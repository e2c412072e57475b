// Draws the random values of each tensor. Convolution kernels fall off from their middle, so that the
// picture is soft blobs of colour that drift, rather than the noise of an untuned television.

import type { TensorSpec } from "./layout.ts";
import { elementCount, type StoredTensor, toBf16 } from "./pth.ts";
import { normalValues, seedFor } from "./random.ts";

/** Weight of a tap by its distance from the middle of a kernel of 3; a kernel of 1 has only the middle. */
const TAP = [0.6, 1, 0.6] as const;

/** The profile of a kernel, scaled to keep the variance that uniform taps would have. */
function kernelProfile(kernel: readonly number[]): Float32Array {
  let profile = [1];
  for (const size of kernel) {
    const taps: readonly number[] = size === 3 ? TAP : [1];
    profile = profile.flatMap((value) => taps.map((tap) => value * tap));
  }
  const meanSquare = profile.reduce((sum, value) => sum + value * value, 0) / profile.length;
  return Float32Array.from(profile, (value) => value / Math.sqrt(meanSquare));
}

/** One random value for each pair of channels, spread over the kernel's taps. */
function smoothKernels(shape: readonly number[], scale: number, seed: number): Float32Array {
  const kernel = shape.slice(2);
  const profile = kernelProfile(kernel);
  const channels = normalValues(elementCount(shape.slice(0, 2)), seed);
  const values = new Float32Array(channels.length * profile.length);
  // Equal signs over the taps add up: a kernel of n taps gains about sqrt(n) on a smooth input.
  const gain = scale / Math.sqrt(Math.max(1, profile.length) / SMOOTHNESS_GAIN);
  channels.forEach((channel, i) => {
    profile.forEach((tap, j) => {
      values[i * profile.length + j] = channel * tap * gain;
    });
  });
  return values;
}

/** How much of the gain on a smooth input is left in; chosen by eye on rendered clips. */
const SMOOTHNESS_GAIN = 1.5;

function drawValues(spec: TensorSpec, seed: number): Float32Array {
  if ("constant" in spec.fill) return new Float32Array(elementCount(spec.shape)).fill(spec.fill.constant);
  const scale = spec.fill.gain / Math.sqrt(spec.fill.fanIn);
  const tensorSeed = seedFor(seed, spec.name);
  if (spec.smooth) return smoothKernels(spec.shape, scale, tensorSeed);
  return normalValues(elementCount(spec.shape), tensorSeed).map((value) => value * scale);
}

export function drawTensors(specs: readonly TensorSpec[], seed: number): StoredTensor[] {
  return specs.map((spec) => {
    const values = drawValues(spec, seed);
    const { name, shape } = spec;
    return spec.fp32
      ? { name, shape, type: "f32", data: new Uint8Array(values.buffer) }
      : { name, shape, type: "bf16", data: toBf16(values) };
  });
}
