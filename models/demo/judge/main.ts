// Judges clips against the first scenes of a manifest and prints how many show what was asked for.
//   node models/demo/judge/main.ts MANIFEST CLIPS.gz
import { readClips } from "./clip-file.ts";
import { judge, tally } from "./judge.ts";
import { readManifest } from "./world.ts";

const [manifest, clips] = process.argv.slice(2);
if (manifest === undefined || clips === undefined) {
  process.stderr.write("usage: node models/demo/judge/main.ts MANIFEST CLIPS.gz\n");
  process.exitCode = 2;
} else {
  const scenes = readManifest(manifest);
  const verdicts = readClips(clips).map((clip, i) => {
    const scene = scenes[i];
    if (scene === undefined) throw new Error(`${clips} holds more clips than ${manifest} has scenes, ${scenes.length}`);
    return { kind: scene.kind, ...judge(clip, scene) };
  });
  process.stdout.write(`${JSON.stringify(tally(verdicts))}\n`);
  const wrong = verdicts.filter((verdict) => !verdict.colour || !verdict.background || !verdict.motion);
  for (const [kind, rows] of Map.groupBy(wrong, (verdict) => verdict.kind)) {
    process.stdout.write(`${kind}: ${rows.length} not as asked, ${JSON.stringify(tally(rows))} of them right\n`);
  }
}
