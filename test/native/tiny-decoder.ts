// A TAEHV checkpoint of random weights, as taew2_1.pth is laid out.
import { writeFileSync } from "node:fs";
import type { TensorSpec } from "../fixtures/random-model/layout.ts";
import { pthFile } from "../fixtures/random-model/pth.ts";
import { drawTensors } from "../fixtures/random-model/weights.ts";

/** taew2_1.pth with random weights, every level `width` channels wide. */
export function writeTinyDecoder(path: string, width: number): void {
  const conv = (name: string, out: number, input: number, kernel: number, bias: boolean): TensorSpec[] => [
    {
      name: `decoder.${name}.weight`,
      shape: [out, input, kernel, kernel],
      fill: { gain: 1, fanIn: input * kernel * kernel },
    },
    ...(bias ? [{ name: `decoder.${name}.bias`, shape: [out], fill: { constant: 0.1 } }] : []),
  ];
  const memory = (at: number): TensorSpec[] =>
    [0, 2, 4].flatMap((part) => conv(`${at}.conv.${part}`, width, part === 0 ? 2 * width : width, 3, true));
  const specs = [
    ...conv("1", width, 16, 3, true),
    ...[3, 4, 5, 9, 10, 11, 15, 16, 17].flatMap(memory),
    ...conv("7.conv", width, width, 1, false),
    ...conv("8", width, width, 3, false),
    ...conv("13.conv", 2 * width, width, 1, false),
    ...conv("14", width, width, 3, false),
    ...conv("19.conv", 2 * width, width, 1, false),
    ...conv("20", width, width, 3, false),
    ...conv("22", 3, width, 3, true),
  ];
  writeFileSync(path, pthFile("taew2_1", drawTensors(specs, 3)));
}
