// The small world that the demo model draws: its colours, its picture and what a prompt's scene says. The scenes and
// their prompts are made by models/demo/training (Python), which reads the same world.json.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";

const point = z.tuple([z.number(), z.number()]);
const worldSchema = z.object({
  width: z.int(),
  height: z.int(),
  frames: z.int(),
  framesPerSecond: z.int(),
  palette: z.record(z.string(), z.tuple([z.int(), z.int(), z.int()])),
  /** Number word -> where the fireworks burst, in pixels. */
  bursts: z.record(z.string(), z.array(point)),
});

export const world = worldSchema.parse(JSON.parse(readFileSync(join(import.meta.dirname, "../world.json"), "utf8")));
export const COLOUR_NAMES = Object.keys(world.palette);

export const KINDS = [
  "bounce",
  "slide",
  "rotate",
  "grow",
  "sun",
  "waves",
  "snow",
  "fireworks",
  "clock",
  "cross",
  "swing",
] as const;
export type Kind = (typeof KINDS)[number];

const colour = z.string().refine((name) => name in world.palette, "is no colour of the demo's world");
const sceneSchema = z.object({
  kind: z.enum(KINDS),
  colour,
  background: colour,
  direction: z.string(),
  /** The other object's colour, in "cross" alone. */
  second: z.union([z.literal(""), colour]),
  shape: z.string(),
  /** What the hold-out is decided by. */
  combination: z.string(),
  prompt: z.string().min(1),
});
/** What one prompt asks for. */
export type Scene = z.infer<typeof sceneSchema>;

/** A manifest that models/demo/training/dataset.py wrote. Throws where a row is no scene. */
export function readManifest(file: string): Scene[] {
  return z.array(sceneSchema).parse(JSON.parse(readFileSync(file, "utf8")));
}
