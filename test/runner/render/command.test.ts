// The command as a person starts it, with the real engine process, the demo set and real ffmpeg.
import { createHash } from "node:crypto";
import { cp, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import * as z from "zod";
import { writeRandomModel } from "../../fixtures/random-model/model-set.ts";
import { writeTinyDecoder } from "../../native/tiny-decoder.ts";
import { type Command, startCommand } from "../support/command.ts";
import { type TestFolder, testFolder } from "../support/host.ts";
import { readMp4 } from "../support/mp4.ts";

const SMALL = ["--size", "64x64", "--frames", "9", "--steps", "2", "--threads", "1"] as const;

let folder: TestFolder;
let models: string;
let out: string;
let file: string;
const commands: Command[] = [];
let clips = 0;

beforeAll(async () => {
  folder = await testFolder();
  models = join(folder.path, "models");
  writeRandomModel(join(models, "turboclip-demo"));
});
beforeEach(async () => {
  out = await folder.fresh(`out-${clips++}`);
  file = join(out, "clip.mp4");
});
afterEach(() => {
  for (const command of commands.splice(0)) command.child.kill("SIGKILL");
});
afterAll(() => folder.remove());

function render(...args: readonly string[]): Command {
  const command = startCommand(["render", ...args], { ...process.env, TURBOCLIP_MODELS_DIR: models });
  commands.push(command);
  return command;
}

const reportSchema = z.strictObject({
  file: z.string(),
  bytes: z.int(),
  sha256: z.string(),
  poster: z.string().optional(),
  seed: z.int(),
  model: z.string(),
  settings: z.record(z.string(), z.union([z.string(), z.number()])),
  timings: z.record(z.string(), z.number()),
  engine: z.string(),
});

async function report(...args: readonly string[]): Promise<z.infer<typeof reportSchema>> {
  const command = render("a red ball", "-o", file, "--json", ...args);
  expect(await command.exit, command.stderr()).toBe(0);
  return reportSchema.parse(JSON.parse(command.stdout()));
}

describe("turboclip-runner render", () => {
  test("writes the clip and says on standard output what it did, progress going to standard error", async () => {
    const command = render("a red ball", "-o", file, "--seed", "3", ...SMALL);
    expect(await command.exit, command.stderr()).toBe(0);
    expect(readMp4(await readFile(file))).toMatchObject({ width: 64, height: 64, samples: 9 });
    expect(command.stdout()).toMatch(/clip\.mp4 \(\d+ KiB\): 64x64, 9 frames, 2 steps, seed 3, turboclip-demo\n/);
    expect(command.stderr()).toMatch(
      /loading the model\n[\s\S]*denoising 1 of 2\n[\s\S]*denoising 2 of 2\n[\s\S]*encoding\n/,
    );
    expect(await readdir(out)).toEqual(["clip.mp4"]);
  });

  test("--json prints one object: the file, its digest, what it was made with and how long that took", async () => {
    const poster = join(out, "poster.jpg");
    const said = await report("--seed", "3", "--poster", poster, ...SMALL);
    const bytes = await readFile(file);
    expect(said).toMatchObject({
      ...{ file, poster, bytes: bytes.length, seed: 3, model: "turboclip-demo" },
      sha256: createHash("sha256").update(bytes).digest("hex"),
      settings: {
        ...{ size: "64x64", frames: 9, steps: 2, sampler: "sde", sigma_max: 80, attention: "sla", topk: 0.15 },
        threads: 1,
      },
      engine: expect.stringMatching(/^cpu\/\d/),
    });
    expect(Object.keys(said.timings).sort()).toEqual(["decode", "denoise", "encode", "load", "text_encode"]);
    expect((await readFile(poster)).subarray(0, 3).toString("hex")).toBe("ffd8ff");
    expect((await readdir(out)).sort()).toEqual(["clip.mp4", "poster.jpg"]);
  });

  test("each setting of the sampler changes the clip, and none of them the seed that is shown", async () => {
    const usual = ["--size", "128x96", "--frames", "9", "--steps", "2", "--seed", "5"];
    const variants = [
      [],
      ["--sampler", "ode"],
      ["--sigma-max", "200"],
      ["--attention", "original"],
      ["--topk", "0.7"],
      ["--steps", "1"],
      ["--seed", "6"],
    ];
    const digests = new Set<string>();
    for (const variant of variants) digests.add((await report(...usual, ...variant)).sha256);
    expect(digests.size).toBe(variants.length);
    const again = await report(...usual, "--threads", "2");
    expect(digests).toContain(again.sha256);
  }, 90_000);

  test("decodes with TAEHV when asked, whose file stands with the model or in common/", async () => {
    const set = await folder.fresh("taehv/set");
    await cp(join(models, "turboclip-demo"), set, { recursive: true });
    writeTinyDecoder(join(set, "taew2_1.pth"), 8);
    const usual = ["--model", set, "--seed", "5", ...SMALL];
    const tiny = await report(...usual, "--decoder", "taehv");
    expect(tiny.settings).toMatchObject({ decoder: "taehv" });
    const full = await report(...usual);
    expect(full.settings).toMatchObject({ decoder: "vae" });
    expect(full.sha256).not.toBe(tiny.sha256);
  });

  test("draws a seed when none is given, and shows it: with it the clip comes again", async () => {
    const first = await report(...SMALL);
    const again = await report(...SMALL, "--seed", String(first.seed));
    expect(again.sha256).toBe(first.sha256);
  });

  test("replaces a file that is there, only once the new one is whole", async () => {
    await writeFile(file, "old");
    const command = render("a red ball", "-o", file, "--size", "128x128", "--frames", "17");
    await command.says("denoising 1 of 4");
    expect(await readFile(file, "utf8")).toBe("old");
    expect(await command.exit).toBe(0);
    expect(readMp4(await readFile(file))).toMatchObject({ samples: 17 });
  });

  test("Ctrl-C in mid-clip stops it with 130 and leaves nothing, not even the engine process's files", async () => {
    const command = render("a red ball", "-o", file);
    await command.says("denoising 1 of 4");
    command.child.kill("SIGINT");
    expect(await command.exit).toBe(130);
    expect(command.stderr()).toContain("stopped; nothing was written");
    expect(command.stderr()).not.toContain("decoding");
    expect(command.stdout()).toBe("");
    expect(await readdir(out)).toEqual([]);
  });
});

describe("the model is", () => {
  test("any folder that holds the four files, what is shared taken from common/ beside it", async () => {
    const set = await folder.fresh("elsewhere/mine");
    const common = await folder.fresh("elsewhere/common");
    await cp(join(models, "turboclip-demo"), set, { recursive: true });
    await rename(join(set, "tokenizer.json"), join(common, "tokenizer.json"));
    expect(await report("--model", set, ...SMALL)).toMatchObject({ model: "turboclip-demo" });
    await rm(join(common, "tokenizer.json"));
    const lacking = render("a red ball", "-o", file, "--model", set);
    expect(await lacking.exit).toBe(2);
    expect(lacking.stderr()).toContain(`--model ${set} lacks tokenizer.json`);
  });

  test("told by its id when the models folder holds several", async () => {
    const several = await folder.fresh("several");
    await cp(join(models, "turboclip-demo"), join(several, "turboclip-demo"), { recursive: true });
    const larger = join(several, "turbowan2.1-t2v-1.3b-480p");
    await cp(join(models, "turboclip-demo"), larger, { recursive: true });
    await rename(join(larger, "TurboWan-Demo.pth"), join(larger, "TurboWan2.1-T2V-1.3B-480P.pth"));
    const unsaid = render("a red ball", "-o", file, "--models-dir", several);
    expect(await unsaid.exit).toBe(2);
    expect(unsaid.stderr()).toContain("give --model with one of turboclip-demo, turbowan2.1-t2v-1.3b-480p");
    const said = await report("--models-dir", several, "--model", "turbowan2.1-t2v-1.3b-480p", ...SMALL);
    expect(said).toMatchObject({ model: "turbowan2.1-t2v-1.3b-480p", settings: { topk: 0.1 } });
  });

  test("named when its files are broken, with status 1 and nothing written", async () => {
    const broken = await folder.fresh("broken");
    await cp(join(models, "turboclip-demo"), broken, { recursive: true });
    await writeFile(join(broken, "TurboWan-Demo.pth"), "PK\x03\x04");
    const command = render("a red ball", "-o", file, "--model", broken);
    expect(await command.exit).toBe(1);
    expect(command.stderr()).toContain(join(broken, "TurboWan-Demo.pth"));
    expect(await readdir(out)).toEqual([]);
  });
});

describe("what cannot be is refused with status 2, by its value and with the remedy:", () => {
  const OUTPUT = ["-o", "FILE"];
  test.each([
    ["no prompt", OUTPUT, "no prompt; give one in quotes"],
    ["an empty prompt", ["", ...OUTPUT], "the prompt is empty"],
    ["a prompt without quotes", ["a", "ball", ...OUTPUT], '"ball" is too much'],
    [
      "a prompt of 5000 characters",
      ["x".repeat(5_000), ...OUTPUT],
      "the prompt has 5000 characters; give at most 4000",
    ],
    ["no output", ["x"], "no output; give -o FILE"],
    ["an option that is none", ["x", ...OUTPUT, "--frame", "9"], "no option --frame"],
    ["an option without its value", ["x", ...OUTPUT, "--seed"], "--seed needs a value"],
    ["a size that is none", ["x", ...OUTPUT, "--size", "big"], '--size is "big"; give WIDTHxHEIGHT'],
    ["a size off the grid", ["x", ...OUTPUT, "--size", "100x64"], "a multiple of 16"],
    ["a size that is too large", ["x", ...OUTPUT, "--size", "2048x2048"], "at most 1048576 pixels"],
    ["frames not 4n + 1", ["x", ...OUTPUT, "--frames", "8"], '--frames is "8"; give 4 n + 1'],
    ["steps above 4", ["x", ...OUTPUT, "--steps", "5"], '--steps is "5"; give 1, 2, 3 or 4'],
    ["a seed below 0", ["x", ...OUTPUT, "--seed=-1"], '--seed is "-1"'],
    ["a seed that is no number", ["x", ...OUTPUT, "--seed", "0x10"], '--seed is "0x10"'],
    ["another sampler", ["x", ...OUTPUT, "--sampler", "euler"], "give sde or ode"],
    ["noise of nothing", ["x", ...OUTPUT, "--sigma-max", "0"], '--sigma-max is "0"'],
    ["another attention", ["x", ...OUTPUT, "--attention", "flash"], "give sla (sparse) or original"],
    ["another decoder", ["x", ...OUTPUT, "--decoder", "tiny"], '--decoder is "tiny"; give vae or taehv'],
    ["TAEHV without its file", ["x", ...OUTPUT, "--model", "DEMO", "--decoder", "taehv"], "lacks taew2_1.pth"],
    ["a share above 1", ["x", ...OUTPUT, "--topk", "1.5"], '--topk is "1.5"'],
    ["threads below 0", ["x", ...OUTPUT, "--threads=-2"], '--threads is "-2"'],
    ["a model that is none", ["x", ...OUTPUT, "--model", "sora"], "--model sora is no folder and no model id"],
    [
      "a models folder that is none",
      ["x", ...OUTPUT, "--models-dir", "/nowhere"],
      "--models-dir /nowhere is no folder",
    ],
    [
      "a folder without a model",
      ["x", ...OUTPUT, "--model", "/"],
      "holds no transformer: one of TurboWan-Demo-quant.pth, TurboWan-Demo.pth",
    ],
    ["an output in no folder", ["x", "-o", "/nowhere/clip.mp4"], "/nowhere is no folder that can be written to"],
    ["an output that is a folder", ["x", "-o", "/tmp"], "/tmp is there and is no file"],
    ["a poster in no folder", ["x", ...OUTPUT, "--poster", "/nowhere/p.jpg"], "--poster /nowhere/p.jpg"],
  ])("%s", async (_, args, message) => {
    const command = render(...args.map((arg) => ({ FILE: file, DEMO: join(models, "turboclip-demo") })[arg] ?? arg));
    expect(await command.exit).toBe(2);
    expect(command.stderr()).toContain(message);
    expect(command.stderr()).not.toContain("    at ");
    expect(command.stdout()).toBe("");
  });

  test("no models folder at all", async () => {
    const command = startCommand(["render", "x", "-o", file], { ...process.env, TURBOCLIP_MODELS_DIR: "" });
    commands.push(command);
    expect(await command.exit).toBe(2);
    expect(command.stderr()).toContain("no models folder: give --models-dir DIR");
  });

  test("a folder with the transformers of two models", async () => {
    const mixed = await folder.fresh("mixed");
    await mkdir(mixed, { recursive: true });
    for (const name of ["TurboWan-Demo.pth", "TurboWan2.1-T2V-1.3B-480P.pth"]) await writeFile(join(mixed, name), "");
    const command = render("x", "-o", file, "--model", mixed);
    expect(await command.exit).toBe(2);
    expect(command.stderr()).toContain("give each model a folder of its own");
  });
});
