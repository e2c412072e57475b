// Does a clip show the object's colour, the background's colour and the motion that its prompt asks for? From its
// pixels alone.
import { MOTIONS } from "./motions.ts";
import { type Clip, countColours, differing, type Mask, marked, medianColour, region } from "./picture.ts";
import type { Kind, Scene } from "./world.ts";

export interface Verdict {
  readonly colour: boolean;
  readonly background: boolean;
  readonly motion: boolean;
}

/** Share of the clip's pixels that something other than background must fill. */
const LEAST_SHOWN = 0.002;
/** Share of the object's pixels from which a colour is one of the objects'. */
const LEAST_SHARE = 0.15;

/** The background's pixels, and a mask of what is not background. */
function split(clip: Clip, kind: Kind): { background: Int32Array; mask: Mask } {
  const { height, width } = clip;
  const upper = () => region(clip, (_, y) => y < Math.trunc(height * 0.25));
  if (kind === "sun") {
    // The sea is the background; the sky above it is a dark shade, and its corner shows which.
    const sky = region(clip, (x, y) => y < Math.trunc(height * 0.2) && x < 8);
    const mask = differing(clip, medianColour(clip, sky));
    for (const pixel of region(clip, (_, y) => y >= Math.trunc(height * 0.645))) mask[pixel] = 0;
    return { background: region(clip, (_, y) => y >= Math.trunc(height * 0.8)), mask };
  }
  if (kind === "bounce") {
    const background = upper();
    const [r, g, b] = medianColour(clip, background);
    // The ground is a darker shade of the background.
    return { background, mask: differing(clip, [r, g, b], [0.8 * r, 0.8 * g, 0.8 * b]) };
  }
  const edge = (x: number, y: number) => x < 4 || y < 4 || x >= width - 4 || y >= height - 4;
  const everywhere = kind === "snow" || kind === "fireworks";
  const background = kind === "waves" ? upper() : region(clip, everywhere ? () => true : edge);
  return { background, mask: differing(clip, medianColour(clip, background)) };
}

export function judge(clip: Clip, scene: Scene): Verdict {
  const { background, mask } = split(clip, scene.kind);
  const object = marked(mask);
  const seen = countColours(clip, object);
  const shown = object.length > LEAST_SHOWN * mask.length;
  const often = seen.slice(0, 2).filter(({ count }) => count > LEAST_SHARE * object.length);
  const colours = new Set(often.map(({ name }) => name));
  const rightColours =
    scene.kind === "cross"
      ? colours.size === 2 && colours.has(scene.colour) && colours.has(scene.second)
      : seen[0]?.name === scene.colour;
  return {
    colour: shown && rightColours,
    background: countColours(clip, background)[0]?.name === scene.background,
    motion: shown && MOTIONS[scene.kind](clip, mask, scene),
  };
}

/** How many of the verdicts are right, by what was asked. */
export interface Tally {
  readonly of: number;
  readonly colour: number;
  readonly background: number;
  readonly motion: number;
}

export function tally(verdicts: readonly Verdict[]): Tally {
  const count = (what: keyof Verdict) => verdicts.filter((verdict) => verdict[what]).length;
  return { of: verdicts.length, colour: count("colour"), background: count("background"), motion: count("motion") };
}
