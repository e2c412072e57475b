// The real engine process on checkpoint files that are not what they should be: each is refused in words that
// say which file and tensor, none is worth another attempt, and the process is there for the next model.
import { copyFile, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { defaultSampling, findModels, type ModelOnDisk } from "../../../runner/checkpoints/find.ts";
import { ENGINE_ENTRY, EngineHost } from "../../../runner/engine/host.ts";
import { transformerTensors } from "../../fixtures/random-model/layout.ts";
import { writeRandomModel } from "../../fixtures/random-model/model-set.ts";
import { pickleGlobal, pickleText, pthEntries, pthFile } from "../../fixtures/random-model/pth.ts";
import { vaeTensors } from "../../fixtures/random-model/vae-layout.ts";
import { drawTensors } from "../../fixtures/random-model/weights.ts";
import { storedZip } from "../../fixtures/random-model/zip.ts";
import { LogBook, smallClip, type TestFolder, testFolder } from "../support/host.ts";

let folder: TestFolder;
let good: ModelOnDisk;
let engine: EngineHost;

beforeAll(async () => {
  folder = await testFolder();
  writeRandomModel(join(folder.path, "turboclip-demo"));
  const [model] = (await findModels(folder.path, "vae")).found;
  if (model === undefined) throw new Error("the demo set is not complete");
  good = model;
  engine = new EngineHost({ entry: ENGINE_ENTRY, env: process.env, log: new LogBook().logger() });
  await engine.whenReady();
});
afterAll(async () => {
  await engine.stop();
  await folder.remove();
});

const SMALL = { width: 128, ffn: 128, layers: 1, textWidth: 128, inChannels: 16 };

/** The demo set with one file replaced. */
async function withFile(
  kind: "transformer" | "vae" | "textEncoder" | "tokenizer",
  content: Uint8Array | string,
): Promise<ModelOnDisk> {
  const path = join(folder.path, `${kind}-${Math.random()}`);
  await writeFile(path, content);
  return { ...good, id: path, [kind]: path };
}

async function refusal(model: ModelOnDisk): Promise<string> {
  const outcome = await engine.load(model);
  if (outcome.kind !== "failed") throw new Error(`it was ${outcome.kind}`);
  expect(outcome.failure).toMatchObject({ code: "engine_failed", retryable: false });
  return outcome.failure.message;
}

describe("a checkpoint is refused by name when it", () => {
  test("is missing", async () => {
    const gone = join(folder.path, "gone.pth");
    expect(await refusal({ ...good, id: "gone", vae: gone })).toContain(gone);
  });

  test.each([0, 3, 100, 200_000, 7_000_000])("ends after %i bytes", async (length) => {
    const path = join(folder.path, `cut-${length}.pth`);
    await copyFile(good.transformer, path);
    await truncate(path, length);
    expect(await refusal({ ...good, id: path, transformer: path })).toContain(path);
  });

  test("is no checkpoint at all", async () => {
    const model = await withFile("transformer", "<html>404 Not Found</html>".repeat(100));
    expect(await refusal(model)).toContain(model.transformer);
  });

  test("lacks a tensor: which one, and its shape", async () => {
    const specs = transformerTensors(SMALL).filter((spec) => spec.name !== "blocks.0.cross_attn.o.weight");
    const model = await withFile("transformer", pthFile("x", drawTensors(specs, 1)));
    const message = await refusal(model);
    expect(message).toContain("blocks.0.cross_attn.o.weight");
    expect(message).toContain("[128, 128]");
  });

  test("has a tensor of another shape: which one, what it is and what was expected", async () => {
    const specs = transformerTensors(SMALL).map((spec) =>
      spec.name === "blocks.0.ffn.2.weight" ? { ...spec, shape: [128, 64] } : spec,
    );
    const message = await refusal(await withFile("transformer", pthFile("x", drawTensors(specs, 1))));
    expect(message).toContain("blocks.0.ffn.2.weight");
    expect(message).toContain("[128, 64]");
    expect(message).toContain("[128, 128]");
  });

  test("is of another architecture", async () => {
    const vae = pthFile("x", drawTensors(vaeTensors(8, 1), 1));
    const model = await withFile("transformer", vae);
    expect(await refusal(model)).toContain(model.transformer);
    const swapped = { ...good, id: "swapped", textEncoder: good.vae };
    expect(await refusal(swapped)).toContain(good.vae);
  });

  test("does not belong to the text encoder beside it: both widths", async () => {
    const specs = transformerTensors({ ...SMALL, textWidth: 64 });
    const message = await refusal(await withFile("transformer", pthFile("x", drawTensors(specs, 1))));
    expect(message).toMatch(/64/);
    expect(message).toMatch(/128/);
  });

  test("has a tokenizer with more tokens than the text encoder has rows", async () => {
    const tokenizer = JSON.parse(await readFile(good.tokenizer, "utf8"));
    tokenizer.model.vocab.push(...Array.from({ length: 5_000 }, (_, i) => [`extra${i}`, -20]));
    const message = await refusal(await withFile("tokenizer", JSON.stringify(tokenizer)));
    expect(message).toContain("do not belong together");
  });
});

describe("a checkpoint with a hostile pickle", () => {
  const proof = () => join(folder.path, "was-run");
  /** What Python's unpickler would run as os.system("touch ..."). */
  const attack = (module: string, name: string) =>
    Buffer.concat([
      Buffer.from([0x80, 0x02]),
      pickleGlobal(module, name),
      pickleText(`touch ${proof()}`),
      Buffer.from([0x85]), // TUPLE1
      Buffer.from("R."), // REDUCE, STOP
    ]);

  test.each([
    ["os", "system"],
    ["builtins", "eval"],
    ["torch.storage", "_load_from_bytes"],
  ])("is refused by the name of what it wanted to call: %s.%s", async (module, name) => {
    await rm(proof(), { force: true });
    const tensors = drawTensors(transformerTensors(SMALL).slice(0, 2), 1);
    const model = await withFile("transformer", storedZip(pthEntries("x", tensors, attack(module, name))));
    const message = await refusal(model);
    expect(message).toContain(module);
    expect(message).toContain(name);
    await expect(readFile(proof())).rejects.toThrow("ENOENT");
  });
});

test("after all of that the same process renders a clip with the good set", async () => {
  const { pid } = engine;
  const clip = await folder.fresh("clip");
  const outcome = await engine.render({
    model: good,
    request: smallClip(),
    sampling: defaultSampling(good),
    folder: clip,
    onProgress: () => {},
    signal: new AbortController().signal,
  });
  expect(outcome).toMatchObject({ kind: "rendered" });
  expect(engine.pid).toBe(pid);
});
