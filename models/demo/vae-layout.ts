// Names and shapes of Wan2.1_VAE.pth for any base width: `dim` 96 is the official one, the multipliers
// [1, 2, 4, 4], two residual blocks a level and 16 latent channels stay.

import type { TensorSpec } from "./layout.ts";
import { elementCount } from "./pth.ts";

const LATENT = 16;

interface Convolution {
  readonly name: string;
  readonly out: number;
  readonly input: number;
  readonly kernel: readonly number[];
  readonly gain?: number;
}

function convolution({ name, out, input, kernel, gain = 1 }: Convolution): TensorSpec[] {
  const fanIn = input * elementCount(kernel);
  return [
    { name: `${name}.weight`, shape: [out, input, ...kernel], fill: { gain, fanIn }, smooth: true },
    { name: `${name}.bias`, shape: [out], fill: { constant: 0 } },
  ];
}

function gamma(name: string, shape: readonly number[]): TensorSpec {
  return { name: `${name}.gamma`, shape, fill: { constant: 1 } };
}

function residual(name: string, input: number, out: number): TensorSpec[] {
  const kernel = [3, 3, 3];
  return [
    gamma(`${name}.residual.0`, [input, 1, 1, 1]),
    ...convolution({ name: `${name}.residual.2`, out, input, kernel }),
    gamma(`${name}.residual.3`, [out, 1, 1, 1]),
    ...convolution({ name: `${name}.residual.6`, out, input: out, kernel }),
    ...(input === out ? [] : convolution({ name: `${name}.shortcut`, out, input, kernel: [1, 1, 1] })),
  ];
}

function middle(name: string, width: number): TensorSpec[] {
  return [
    ...residual(`${name}.0`, width, width),
    gamma(`${name}.1.norm`, [width, 1, 1]),
    ...convolution({ name: `${name}.1.to_qkv`, out: 3 * width, input: width, kernel: [1, 1] }),
    ...convolution({ name: `${name}.1.proj`, out: width, input: width, kernel: [1, 1] }),
    ...residual(`${name}.2`, width, width),
  ];
}

function head(name: string, input: number, out: number, gain: number): TensorSpec[] {
  return [
    gamma(`${name}.0`, [input, 1, 1, 1]),
    ...convolution({ name: `${name}.2`, out, input, kernel: [3, 3, 3], gain }),
  ];
}

function encoder(dim: number): TensorSpec[] {
  const [d1, d2, d4] = [dim, 2 * dim, 4 * dim];
  const down = (at: number, width: number, temporal: boolean): TensorSpec[] => {
    const name = `encoder.downsamples.${at}`;
    return [
      ...convolution({ name: `${name}.resample.1`, out: width, input: width, kernel: [3, 3] }),
      ...(temporal ? convolution({ name: `${name}.time_conv`, out: width, input: width, kernel: [3, 1, 1] }) : []),
    ];
  };
  const level = (at: number, input: number, out: number): TensorSpec[] => [
    ...residual(`encoder.downsamples.${at}`, input, out),
    ...residual(`encoder.downsamples.${at + 1}`, out, out),
  ];
  return [
    ...convolution({ name: "encoder.conv1", out: d1, input: 3, kernel: [3, 3, 3] }),
    ...level(0, d1, d1),
    ...down(2, d1, false),
    ...level(3, d1, d2),
    ...down(5, d2, true),
    ...level(6, d2, d4),
    ...down(8, d4, true),
    ...level(9, d4, d4),
    ...middle("encoder.middle", d4),
    ...head("encoder.head", d4, 2 * LATENT, 1),
  ];
}

function decoder(dim: number, headGain: number): TensorSpec[] {
  const [d1, d2, d4] = [dim, 2 * dim, 4 * dim];
  const up = (at: number, input: number, temporal: boolean): TensorSpec[] => {
    const name = `decoder.upsamples.${at}`;
    return [
      ...convolution({ name: `${name}.resample.1`, out: input / 2, input, kernel: [3, 3] }),
      ...(temporal ? convolution({ name: `${name}.time_conv`, out: 2 * input, input, kernel: [3, 1, 1] }) : []),
    ];
  };
  const level = (at: number, input: number, out: number): TensorSpec[] => [
    ...residual(`decoder.upsamples.${at}`, input, out),
    ...residual(`decoder.upsamples.${at + 1}`, out, out),
    ...residual(`decoder.upsamples.${at + 2}`, out, out),
  ];
  return [
    ...convolution({ name: "decoder.conv1", out: d4, input: LATENT, kernel: [3, 3, 3] }),
    ...middle("decoder.middle", d4),
    ...level(0, d4, d4),
    ...up(3, d4, true),
    ...level(4, d2, d4),
    ...up(7, d4, true),
    ...level(8, d2, d2),
    ...up(11, d2, false),
    ...level(12, d1, d1),
    ...head("decoder.head", d1, 3, headGain),
  ];
}

/** Every tensor of the file, encoder included. `headGain` scales the picture's contrast. */
export function vaeTensors(dim: number, headGain: number): TensorSpec[] {
  return [
    ...encoder(dim),
    ...convolution({ name: "conv1", out: 2 * LATENT, input: 2 * LATENT, kernel: [1, 1, 1] }),
    ...convolution({ name: "conv2", out: LATENT, input: LATENT, kernel: [1, 1, 1] }),
    ...decoder(dim, headGain),
  ];
}
