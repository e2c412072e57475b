// Whether a clip moves as its scene says, for each kind of scene, from the mask of what is not background.
import {
  type Clip,
  coloured,
  follow,
  type Mask,
  mean,
  type Point,
  places,
  STEP,
  type Track,
  turned,
} from "./picture.ts";
import { type Kind, type Scene, world } from "./world.ts";

export type Motion = (clip: Clip, mask: Mask, scene: Scene) => boolean;

/** Turns of a shape after which it looks the same. */
const SYMMETRY: Readonly<Record<string, number>> = { square: 4, triangle: 3, star: 5, bar: 2 };

/** Mean of the first three and of the last three known places; null where too little is known. */
function ends(track: Track): { first: Point; last: Point } | null {
  const known = track.centres.filter((centre) => centre !== null);
  if (known.length < 12) return null;
  const average = (some: Point[]): Point => ({ x: mean(some.map(({ x }) => x)), y: mean(some.map(({ y }) => y)) });
  return { first: average(known.slice(0, 3)), last: average(known.slice(-3)) };
}

/** How far the mask's centre comes from beginning to end. */
function shift(track: Track): Point | null {
  const found = ends(track);
  return found && { x: found.last.x - found.first.x, y: found.last.y - found.first.y };
}

/** Goes to larger values by `least` and then back by as much. */
function goesAndReturns(values: readonly number[], least: number): boolean {
  return values.some((value, i) => {
    if (i < 2 || i > values.length - 3) return false;
    return value - Math.min(...values.slice(0, i)) > least && value - Math.min(...values.slice(i + 1)) > least;
  });
}

const bounce: Motion = (clip, mask, scene) => {
  const track = follow(clip, mask);
  const heights = track.centres.flatMap((centre) => (centre ? [centre.y] : []));
  const moved = shift(track);
  if (moved === null || heights.length < 20 || !goesAndReturns(heights, 25)) return false;
  if (scene.direction === "in place") return Math.abs(moved.x) < 45;
  return scene.direction === "left" ? moved.x < -45 : moved.x > 45;
};

const slide: Motion = (clip, mask, scene) => {
  const moved = shift(follow(clip, mask));
  if (moved === null) return false;
  const upright = scene.direction === "up" || scene.direction === "down";
  const sign = scene.direction === "right" || scene.direction === "down" ? 1 : -1;
  const [along, across] = upright ? [sign * moved.y, moved.x] : [sign * moved.x, moved.y];
  return along > 22 && Math.abs(across) < 0.5 * along;
};

/** Angle of a shape about its centre, from its moment of the symmetry's order. */
function attitude(points: readonly Point[], centre: Point, order: number): number {
  let [re, im] = [0, 0];
  for (const { x, y } of points) {
    const [dx, dy] = [x - centre.x / STEP, y - centre.y / STEP];
    const angle = order * Math.atan2(dy, dx);
    re += (dx * dx + dy * dy) * Math.cos(angle);
    im += (dx * dx + dy * dy) * Math.sin(angle);
  }
  return Math.atan2(im, re);
}

const rotate: Motion = (clip, mask, scene) => {
  const { centres, areas } = follow(clip, mask, 60);
  const known = centres.filter((centre) => centre !== null);
  if (known.length < clip.frames || Math.max(...areas) > 2.5 * Math.min(...areas)) return false;
  const middle = { x: mean(known.map(({ x }) => x)), y: mean(known.map(({ y }) => y)) };
  if (known.some(({ x, y }) => Math.abs(x - middle.x) > 25 || Math.abs(y - middle.y) > 25)) return false;
  const order = SYMMETRY[scene.shape] ?? 1;
  const total = turned(known.map((centre, frame) => attitude(places(clip, mask, frame), centre, order))) / order;
  return scene.direction === "clockwise" ? total > 0.6 : total < -0.6;
};

const grow: Motion = (clip, mask, scene) => {
  const { areas } = follow(clip, mask);
  const [first, last] = [mean(areas.slice(0, 3)) + 1, mean(areas.slice(-3)) + 1];
  const ratio = scene.direction === "grow" ? last / first : first / last;
  return ratio > 2 && Math.min(first, last) > 20;
};

const sun: Motion = (clip, mask, scene) => {
  const moved = shift(follow(clip, mask, 20));
  if (moved === null) return false;
  return scene.direction === "rise" ? moved.y < -25 : moved.y > 25;
};

const waves: Motion = (clip, mask, scene) => {
  const { frames, height, width } = clip;
  const phases: number[] = [];
  for (let t = 0; t < frames; t += 1) {
    const surface = Array.from({ length: width }, (_, x) => {
      let depth = 0;
      for (let y = 0; y < height; y += 1) depth += mask[(t * height + y) * width + x] ?? 0;
      return depth;
    });
    const level = mean(surface);
    let [re, im] = [0, 0];
    for (const [x, depth] of surface.entries()) {
      const angle = (-2 * Math.PI * x * STEP) / 128;
      re += (depth - level) * Math.cos(angle);
      im += (depth - level) * Math.sin(angle);
    }
    if (Math.hypot(re, im) / width < 0.5) return false;
    phases.push(Math.atan2(im, re));
  }
  const total = turned(phases);
  return scene.direction === "right" ? total < -2 : total > 2;
};

/** How well the mask, less its mean in each frame, matches itself `gap` frames later and (dx, dy) further on. */
function selfMatch(
  { frames, height, width }: Clip,
  centred: Float32Array,
  gap: number,
  dx: number,
  dy: number,
): number {
  let sum = 0;
  for (let t = 0; t + gap < frames; t += 1) {
    for (let y = 0; y < height; y += 1) {
      const from = (t * height + y) * width;
      const to = ((t + gap) * height + ((y + dy + height) % height)) * width;
      for (let x = 0; x < width; x += 1) {
        sum += (centred[from + x] ?? 0) * (centred[to + ((x + dx + width) % width)] ?? 0);
      }
    }
  }
  return sum;
}

const snow: Motion = (clip, mask, scene) => {
  const [gap, reach, size] = [2, 8, clip.height * clip.width];
  const centred = new Float32Array(mask.length);
  let energy = 0;
  for (let t = 0; t < clip.frames; t += 1) {
    const level = mask.subarray(t * size, (t + 1) * size).reduce((sum, value) => sum + value, 0) / size;
    for (let i = t * size; i < (t + 1) * size; i += 1) centred[i] = (mask[i] ?? 0) - level;
    energy += size * level * (1 - level);
  }
  let best = { match: Number.NEGATIVE_INFINITY, dx: 0, dy: 0 };
  for (let dy = -reach; dy <= reach; dy += 1) {
    for (let dx = -reach; dx <= reach; dx += 1) {
      const match = selfMatch(clip, centred, gap, dx, dy);
      if (match > best.match) best = { match, dx, dy };
    }
  }
  // A picture that moves without changing matches itself wholly.
  const whole = (energy / clip.frames) * (clip.frames - gap);
  const share = mask.reduce((sum, value) => sum + value, 0) / mask.length;
  if (share <= 0.01 || share >= 0.4 || best.dy < 2 || best.match < 0.4 * whole) return false;
  if (scene.direction === "down") return best.dx === 0;
  return scene.direction === "left" ? best.dx < 0 : best.dx > 0;
};

const fireworks: Motion = (clip, mask, scene) => {
  const bursts = (world.bursts[scene.direction] ?? []).map(([x, y]) => ({ x: x / STEP, y: y / STEP }));
  const spreads: number[] = [];
  const shares = bursts.map(() => 0);
  for (let t = 0; t < clip.frames; t += 1) {
    const points = places(clip, mask, t);
    if (points.length < 20) return false;
    let spread = 0;
    for (const { x, y } of points) {
      const gaps = bursts.map((burst) => Math.hypot(x - burst.x, y - burst.y));
      const nearest = Math.min(...gaps);
      spread += nearest / points.length;
      const burst = gaps.indexOf(nearest);
      shares[burst] = (shares[burst] ?? 0) + 1 / points.length / clip.frames;
    }
    spreads.push(spread);
  }
  const early = mean(spreads.slice(0, 4));
  return mean(spreads.slice(-4)) - early > 8 && early < 16 && Math.min(...shares) > 0.4 / bursts.length;
};

const clock: Motion = (clip, mask, scene) => {
  const phases: number[] = [];
  for (let t = 0; t < clip.frames; t += 1) {
    const points = places(clip, mask, t);
    if (points.length < 100) return false;
    const [xs, ys] = [points.map(({ x }) => x), points.map(({ y }) => y)];
    const centre = { x: (Math.min(...xs) + Math.max(...xs)) / 2, y: (Math.min(...ys) + Math.max(...ys)) / 2 };
    let [re, im] = [0, 0];
    for (const { x, y } of points) {
      const [dx, dy] = [x - centre.x, y - centre.y];
      const radius = Math.hypot(dx, dy);
      // Outside the short hand and inside the rim there is the long hand alone.
      if (radius * STEP <= 42 || radius * STEP >= 58) continue;
      re += dx / radius;
      im += dy / radius;
    }
    phases.push(Math.atan2(im, re));
  }
  const total = turned(phases);
  return scene.direction === "clockwise" ? total > 3 : total < -3;
};

const cross: Motion = (clip, _mask, scene) => {
  const moved = (name: string) => shift(follow(clip, coloured(clip, name), 60));
  const [ball, box] = [moved(scene.colour), moved(scene.second)];
  if (ball === null || box === null) return false;
  return scene.direction === "horizontal" ? ball.x > 60 && box.x < -60 : ball.y < -60 && box.y > 60;
};

const swing: Motion = (clip, mask) => {
  const xs = follow(clip, mask).centres.flatMap((centre) => (centre ? [centre.x] : []));
  return (
    xs.length >= 20 &&
    (goesAndReturns(xs, 25) ||
      goesAndReturns(
        xs.map((x) => -x),
        25,
      ))
  );
};

export const MOTIONS: Readonly<Record<Kind, Motion>> = {
  bounce,
  slide,
  rotate,
  grow,
  sun,
  waves,
  snow,
  fireworks,
  clock,
  cross,
  swing,
};
