// Makes the README's picture: a few prompts as the shipped model draws them, a row of frames for each.
//   node models/demo/frames.ts docs/images/demo-frames.jpg
import { Engine } from "../../native/index.ts";
import { runFfmpeg } from "../../runner/media/ffmpeg.ts";
import { findFfmpeg } from "../../runner/media/locate.ts";
import { loadTokenizer } from "../../runner/text/tokenizer.ts";
import { world } from "./judge/world.ts";
import { DEMO_FILES, DEMO_SPEC } from "./shipped.ts";

const PROMPTS = [
  "a red ball bouncing on a green field",
  "a yellow sun rising over a blue sea",
  "a purple star rotating clockwise on white",
  "three pink fireworks exploding over a black sky",
  "a white ball and an orange square crossing on a blue background",
  "an orange clock with turning hands on a purple wall",
];
const FRAMES = 8;
const SEED = 1;
/** JPEG quality of ffmpeg: 2 is the best, 31 the worst. */
const QUALITY = 4;
const TIMEOUT_MS = 30_000;

const file = process.argv[2];
if (file === undefined) {
  process.stderr.write("usage: node models/demo/frames.ts OUT.jpg\n");
  process.exit(2);
}
const { width, height, frames } = world;
const { topkRatio, sigmaMax } = DEMO_SPEC;
const tokenizer = await loadTokenizer(DEMO_FILES.tokenizer);
const engine = await Engine.load(DEMO_FILES);
const pictures: Buffer[] = [];
for (const prompt of PROMPTS) {
  const clip = await engine.generate({
    ...{ tokenIds: tokenizer.encode(prompt), width, height, frames, seed: SEED },
    ...{ steps: 4, sampler: "sde", attention: "sla", topkRatio, sigmaMax },
  });
  const size = width * height * 3;
  for (let i = 0; i < FRAMES; i += 1) {
    const frame = Math.round((i * (frames - 1)) / (FRAMES - 1));
    pictures.push(clip.frames.subarray(frame * size, (frame + 1) * size));
  }
}
engine.free();
const input = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", `${width}x${height}`, "-i", "-"];
const sheet = `scale=${width / 2}:-1:flags=area,tile=${FRAMES}x${PROMPTS.length}:padding=2:color=white`;
const args = ["-v", "error", "-y", ...input, "-vf", sheet, "-frames:v", "1", "-q:v", String(QUALITY), file];
const { path } = await findFfmpeg(process.env);
await runFfmpeg({ path, args, input: pictures, timeoutMs: TIMEOUT_MS });
