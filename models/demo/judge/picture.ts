// Plain image analysis on whole clips: masks of what differs from a colour, centroids, medians.
import { COLOUR_NAMES, world } from "./world.ts";

/** Every second pixel of every second row of a clip: enough to judge, and a quarter to do. */
export interface Clip {
  readonly frames: number;
  readonly height: number;
  readonly width: number;
  /** frames x height x width x 3 bytes. */
  readonly rgb: Uint8Array;
}
/** Pixels of the full picture to one of a Clip. */
export const STEP = 2;

/** A byte for each pixel of a clip: 1 where it belongs. */
export type Mask = Uint8Array;
export type Colour = readonly [number, number, number];
export interface Point {
  readonly x: number;
  readonly y: number;
}

const PALETTE: readonly Colour[] = Object.values(world.palette);
/** Squared distance in RGB from which a pixel shows something else. */
const FAR = 55 ** 2;

/** `rgb`: frames x height x width x 3 bytes. */
export function halve(rgb: Uint8Array, frames: number, height: number, width: number): Clip {
  const [rows, columns] = [Math.ceil(height / STEP), Math.ceil(width / STEP)];
  const half = new Uint8Array(frames * rows * columns * 3);
  let at = 0;
  for (let t = 0; t < frames; t += 1) {
    for (let y = 0; y < height; y += STEP) {
      for (let x = 0; x < width; x += STEP) {
        const from = ((t * height + y) * width + x) * 3;
        half.set(rgb.subarray(from, from + 3), at);
        at += 3;
      }
    }
  }
  return { frames, height: rows, width: columns, rgb: half };
}

function squaredDistance({ rgb }: Clip, pixel: number, [red, green, blue]: Colour): number {
  const r = (rgb[3 * pixel] ?? 0) - red;
  const g = (rgb[3 * pixel + 1] ?? 0) - green;
  const b = (rgb[3 * pixel + 2] ?? 0) - blue;
  return r * r + g * g + b * b;
}

/** The pixels whose place in the picture `belongs`, in every frame. */
export function region(clip: Clip, belongs: (x: number, y: number) => boolean): Int32Array {
  const { frames, height, width } = clip;
  const found: number[] = [];
  for (let t = 0; t < frames; t += 1) {
    for (let y = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1) if (belongs(x, y)) found.push((t * height + y) * width + x);
    }
  }
  return Int32Array.from(found);
}

/** Channel by channel. */
export function medianColour(clip: Clip, pixels: Int32Array): Colour {
  const median = (channel: number): number =>
    Uint8Array.from(pixels, (pixel) => clip.rgb[3 * pixel + channel] ?? 0).sort()[pixels.length >> 1] ?? 0;
  return [median(0), median(1), median(2)];
}

/** Marks what is far from every one of `colours`. */
export function differing(clip: Clip, ...colours: readonly Colour[]): Mask {
  const mask = new Uint8Array(clip.frames * clip.height * clip.width);
  for (let pixel = 0; pixel < mask.length; pixel += 1) {
    if (colours.every((colour) => squaredDistance(clip, pixel, colour) > FAR)) mask[pixel] = 1;
  }
  return mask;
}

/** The index in COLOUR_NAMES of the pixel's colour. */
function nearestColour(clip: Clip, pixel: number): number {
  let [best, nearest] = [Number.POSITIVE_INFINITY, 0];
  for (let i = 0; i < PALETTE.length; i += 1) {
    const distance = squaredDistance(clip, pixel, PALETTE[i] ?? [0, 0, 0]);
    if (distance < best) [best, nearest] = [distance, i];
  }
  return nearest;
}

/** Pixels of each colour, the most frequent first. */
export function countColours(clip: Clip, pixels: Int32Array): { name: string; count: number }[] {
  const counts = new Uint32Array(COLOUR_NAMES.length);
  for (const pixel of pixels) {
    const colour = nearestColour(clip, pixel);
    counts[colour] = (counts[colour] ?? 0) + 1;
  }
  return COLOUR_NAMES.map((name, i) => ({ name, count: counts[i] ?? 0 })).toSorted((a, b) => b.count - a.count);
}

/** Marks what is nearer to this colour than to the others. */
export function coloured(clip: Clip, name: string): Mask {
  const colour = COLOUR_NAMES.indexOf(name);
  const mask = new Uint8Array(clip.frames * clip.height * clip.width);
  for (let pixel = 0; pixel < mask.length; pixel += 1) if (nearestColour(clip, pixel) === colour) mask[pixel] = 1;
  return mask;
}

/** The mask's pixels, in every frame. */
export function marked(mask: Mask): Int32Array {
  const pixels = new Int32Array(mask.reduce((sum, value) => sum + value, 0));
  let at = 0;
  for (let pixel = 0; pixel < mask.length; pixel += 1) if (mask[pixel] === 1) pixels[at++] = pixel;
  return pixels;
}

/** The places of a mask's pixels in one frame, in a clip's own pixels. */
export function places(clip: Clip, mask: Mask, frame: number): Point[] {
  const { height, width } = clip;
  const found: Point[] = [];
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) if (mask[(frame * height + y) * width + x] === 1) found.push({ x, y });
  }
  return found;
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

export interface Track {
  /** Centroid in pixels of the full picture, for each frame that shows enough; null elsewhere. */
  readonly centres: readonly (Point | null)[];
  /** Pixels of the mask, frame by frame. */
  readonly areas: readonly number[];
}

/** Follows a mask through the clip; a frame with fewer than `least` pixels has no centre. */
export function follow(clip: Clip, mask: Mask, least = 12): Track {
  const found = Array.from({ length: clip.frames }, (_, frame) => places(clip, mask, frame));
  return {
    areas: found.map((points) => points.length),
    centres: found.map((points) =>
      points.length < least
        ? null
        : { x: mean(points.map(({ x }) => x)) * STEP, y: mean(points.map(({ y }) => y)) * STEP },
    ),
  };
}

/**
 * The sum of a phase's steps in radians, each taken the short way round; 0 where fewer than three steps in four go the
 * sum's way, as in noise.
 */
export function turned(phases: readonly number[]): number {
  const steps = phases.slice(1).map((phase, i) => {
    const step = phase - (phases[i] ?? 0);
    return step - 2 * Math.PI * Math.round(step / (2 * Math.PI));
  });
  const total = steps.reduce((sum, step) => sum + step, 0);
  return steps.filter((step) => step * total > 0).length >= 0.75 * steps.length ? total : 0;
}
