import { createCipheriv, createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readClips } from "../../../models/demo/judge/clip-file.ts";
import { judge, type Tally, tally } from "../../../models/demo/judge/judge.ts";
import { type Clip, halve } from "../../../models/demo/judge/picture.ts";
import { KINDS, readManifest, type Scene } from "../../../models/demo/judge/world.ts";

const ROOT = join(import.meta.dirname, "../../..");
const heldOut = readManifest(join(ROOT, "models/demo/held-out.json"));
const trainedOn: string[] = JSON.parse(readFileSync(join(ROOT, "models/demo/trained-on.json"), "utf8"));
/** The manifest's first scenes, drawn by models/demo/training/ground_truth.py. */
const truth = readClips(join(ROOT, "test/fixtures/demo-world/ground-truth.gz"));

function judgeAll(clips: readonly Clip[], sceneOf: (i: number) => Scene | undefined): Tally {
  return tally(
    clips.map((clip, i) => {
      const scene = sceneOf(i);
      if (scene === undefined) throw new Error(`no scene ${i}`);
      return judge(clip, scene);
    }),
  );
}

function framesOf({ rgb, frames }: Clip): Uint8Array[] {
  const size = rgb.length / frames;
  return Array.from({ length: frames }, (_, t) => rgb.subarray(t * size, (t + 1) * size));
}

describe("the manifests", () => {
  /** As models/demo/training/dataset.py decides it. */
  const isHeldOut = (combination: string) =>
    createHash("sha256").update(combination).digest().readUInt32BE(0) % 10 === 0;

  test("hold out by the hash of kind, colours and direction, and what is held out is never trained on", () => {
    expect(heldOut).toHaveLength(100);
    expect(heldOut.filter(({ combination }) => !isHeldOut(combination))).toEqual([]);
    expect(trainedOn.filter(isHeldOut)).toEqual([]);
    expect(trainedOn.length).toBeGreaterThan(2_000);
  });

  test("hold out every kind of scene", () => {
    expect(new Set(heldOut.map(({ kind }) => kind))).toEqual(new Set(KINDS));
  });

  test("name the combination that the scene's own words make", () => {
    for (const { kind, colour, second, background, direction, combination } of heldOut) {
      expect(combination).toBe([kind, colour, second, background, direction].join("|"));
    }
  });
});

describe("the judge", () => {
  test("finds colour, background and motion right in every clip drawn as its scene says", () => {
    expect(judgeAll(truth, (i) => heldOut[i])).toEqual({ of: 33, colour: 33, background: 33, motion: 33 });
  });

  test("finds little right when each clip is held against another clip's scene", () => {
    const shuffled = judgeAll(truth, (i) => heldOut[(i + 5) % truth.length]);
    expect(Math.max(shuffled.colour, shuffled.background, shuffled.motion)).toBeLessThan(33 / 4);
  });

  test("finds no motion when the clip stands still", () => {
    const frozen = truth.slice(0, KINDS.length).map((clip) => {
      const frames = framesOf(clip);
      return { ...clip, rgb: Buffer.concat(frames.map(() => frames[0] ?? Buffer.alloc(0))) };
    });
    expect(judgeAll(frozen, (i) => heldOut[i])).toEqual({ of: 11, colour: 11, background: 11, motion: 0 });
  });

  test("finds the motion wrong when a clip with a direction runs backwards", () => {
    const backwards = truth.map((clip) => ({ ...clip, rgb: Buffer.concat(framesOf(clip).toReversed()) }));
    const reversible = (scene: Scene | undefined) =>
      scene?.kind === "swing" || (scene?.kind === "bounce" && scene.direction === "in place");
    const directed = backwards.flatMap((clip, i) => (reversible(heldOut[i]) ? [] : [{ clip, scene: heldOut[i] }]));
    const found = judgeAll(
      directed.map(({ clip }) => clip),
      (i) => directed[i]?.scene,
    );
    expect(found).toMatchObject({ colour: directed.length, motion: 0 });
  });

  test("finds next to nothing right in noise", () => {
    // A block cipher's output under a fixed key.
    const random = createCipheriv("aes-128-ctr", Buffer.alloc(16, 1), Buffer.alloc(16));
    const noise = truth
      .slice(0, KINDS.length)
      .map((clip) => ({ ...clip, rgb: random.update(Buffer.alloc(clip.rgb.length)) }));
    const found = judgeAll(noise, (i) => heldOut[i]);
    expect(found.motion).toBe(0);
    expect(Math.max(found.colour, found.background)).toBeLessThanOrEqual(4);
  });

  test("looks at every second pixel of every second row", () => {
    const rgb = Uint8Array.from({ length: 2 * 3 * 4 * 3 }, (_, i) => i);
    const clip = halve(rgb, 2, 3, 4);
    expect(clip).toMatchObject({ frames: 2, height: 2, width: 2 });
    expect([...clip.rgb.subarray(0, 12)]).toEqual([0, 1, 2, 6, 7, 8, 24, 25, 26, 30, 31, 32]);
  });
});
