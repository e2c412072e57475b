// The shipped demo model on prompts that it never saw, as the product draws with it: CPU engine, INT8, SLA, 4 steps.
// bench/results/demo-model.md has all the prompts and the other settings.
import { join } from "node:path";
import { expect, test } from "vitest";
import { AIMS, leastRight } from "../../models/demo/aims.ts";
import { drawScene } from "../../models/demo/judge/draw.ts";
import { tally, type Verdict } from "../../models/demo/judge/judge.ts";
import { KINDS, readManifest } from "../../models/demo/judge/world.ts";
import { DEMO_FILES, DEMO_SPEC } from "../../models/demo/shipped.ts";
import { Engine } from "../../native/index.ts";
import { loadTokenizer } from "../../runner/text/tokenizer.ts";

const CLIPS = 20;
/** Most of a minute on two idle cores. */
const TIMEOUT_MS = 600_000;
const heldOut = readManifest(join(import.meta.dirname, "../../models/demo/held-out.json"));
/** Every fifth; the seed is the prompt's place in the manifest, as in the table. */
const sample = heldOut.flatMap((scene, seed) => (seed % (heldOut.length / CLIPS) === 0 ? [{ scene, seed }] : []));

test(
  `of ${CLIPS} clips no fewer show the prompt's colours and motion than its aims allow`,
  async () => {
    expect(sample).toHaveLength(CLIPS);
    expect(new Set(sample.map(({ scene }) => scene.kind))).toEqual(new Set(KINDS));
    const tokenizer = await loadTokenizer(DEMO_FILES.tokenizer);
    const engine = await Engine.load(DEMO_FILES);
    const { topkRatio, sigmaMax } = DEMO_SPEC;
    const verdicts: Verdict[] = [];
    for (const { scene, seed } of sample) {
      const settings = { attention: "sla", steps: 4, topkRatio, sigmaMax, seed } as const;
      verdicts.push((await drawScene(engine, tokenizer, scene, settings)).verdict);
    }
    engine.free();
    const right = tally(verdicts);
    for (const asked of ["colour", "background", "motion"] as const) {
      expect(right[asked], `${asked} of ${CLIPS} clips`).toBeGreaterThanOrEqual(leastRight(CLIPS, AIMS[asked]));
    }
  },
  TIMEOUT_MS,
);
