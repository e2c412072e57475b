// A control process that the test kills: starts the engine process on a clip that never ends, and prints the
// engine's pid when the clip has passed its first step.
import { defaultSampling } from "../../../runner/checkpoints/find.ts";
import { fakeEngineHost, smallClip } from "./host.ts";
import { SEEDS } from "./seeds.ts";

const { model, folder } = JSON.parse(process.argv[2] ?? "{}");
const engine = fakeEngineHost();
await engine.render({
  model,
  folder,
  request: smallClip(SEEDS.deafToCancel),
  sampling: defaultSampling(model),
  signal: new AbortController().signal,
  onProgress: ({ stage, step }) => {
    if (stage === "denoise" && step === 1) process.stdout.write(`${engine.pid}\n`);
  },
});
