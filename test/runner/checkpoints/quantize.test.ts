// `turboclip-runner quantize` as a person starts it, on the demo set's files, and the model that comes of it.
import { execFileSync } from "node:child_process";
import { chmod, cp, mkdir, open, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { findModels } from "../../../runner/checkpoints/find.ts";
import { writeRandomModel } from "../../fixtures/random-model/model-set.ts";
import { type Command, startCommand } from "../support/command.ts";
import { type TestFolder, testFolder } from "../support/host.ts";

let folder: TestFolder;
let models: string;
let original: string;
let out: string;
let twin: string;
let runs = 0;
const commands: Command[] = [];

beforeAll(async () => {
  folder = await testFolder();
  models = join(folder.path, "models");
  writeRandomModel(join(models, "turboclip-demo"));
  original = join(models, "turboclip-demo", "TurboWan-Demo.pth");
});
beforeEach(async () => {
  out = await folder.fresh(`out-${runs++}`);
  twin = join(out, "TurboWan-Demo-quant.pth");
});
afterEach(() => {
  for (const command of commands.splice(0)) command.child.kill("SIGKILL");
});
afterAll(() => folder.remove());

function run(...args: readonly string[]): Command {
  const command = startCommand(args, { ...process.env, TURBOCLIP_MODELS_DIR: models });
  commands.push(command);
  return command;
}
const quantize = (...args: readonly string[]) => run("quantize", ...args);

async function quantized(input: string, output: string, ...options: readonly string[]): Promise<string> {
  const command = quantize(input, output, ...options);
  expect(await command.exit, command.stderr()).toBe(0);
  expect(command.stderr()).toBe("");
  return command.stdout();
}

describe("turboclip-runner quantize", () => {
  test("writes a file of about half the size and says so", async () => {
    const said = await quantized(original, twin);
    expect(said).toMatch(/TurboWan-Demo-quant\.pth \([\d.]+ MB\), from .*TurboWan-Demo\.pth \([\d.]+ MB\)\n$/);
    const [before, after] = await Promise.all([stat(original), stat(twin)]);
    expect(after.size / before.size).toBeGreaterThan(0.45);
    expect(after.size / before.size).toBeLessThan(0.75);
    expect(await readdir(out)).toEqual(["TurboWan-Demo-quant.pth"]);
  });

  test("makes a model that is preferred to the original, renders, and draws another clip than it", async () => {
    const set = join(out, "models", "turboclip-demo");
    await cp(join(models, "turboclip-demo"), set, { recursive: true });
    const chosen = async () => (await findModels(join(out, "models"), "vae")).found[0]?.transformer;
    expect(await chosen()).toBe(join(set, "TurboWan-Demo.pth"));
    const frames = async () => {
      const file = join(out, "clip.mp4");
      const options = ["--size", "64x64", "--frames", "5", "--steps", "1", "--seed", "3", "--threads", "1"];
      const command = run("render", "waves", "-o", file, "--model", set, ...options);
      expect(await command.exit, command.stderr()).toBe(0);
      return readFile(file);
    };
    const exact = await frames();
    await quantized(original, join(set, "TurboWan-Demo-quant.pth"));
    expect(await chosen()).toBe(join(set, "TurboWan-Demo-quant.pth"));
    const quick = await frames();
    expect(quick.equals(exact)).toBe(false);
    await rm(join(set, "TurboWan-Demo.pth"));
    expect((await frames()).equals(quick)).toBe(true);
  });

  test("replaces a file only when told to", async () => {
    await writeFile(twin, "old");
    const refused = quantize(original, twin);
    expect(await refused.exit).toBe(2);
    expect(refused.stderr()).toContain(`${twin}: exists already; give another path, or --replace`);
    expect(await readFile(twin, "utf8")).toBe("old");
    await quantized(original, twin, "--replace");
    expect((await stat(twin)).size).toBeGreaterThan(1_000_000);
  });

  test("writes to a pipe, and Ctrl-C in the middle of that ends it with 130", async () => {
    execFileSync("mkfifo", [twin]);
    const command = quantize(original, twin);
    const pipe = await open(twin, "r");
    const { bytesRead } = await pipe.read(Buffer.alloc(4));
    expect(bytesRead).toBe(4); // it is writing, and fills the pipe now
    command.child.kill("SIGINT");
    command.child.kill("SIGINT"); // a second one is not an error
    for await (const _ of pipe.createReadStream());
    expect(await command.exit).toBe(130);
    expect(command.stderr()).toContain("stopped; nothing was written");
    expect(command.stdout()).toBe("");
  });
});

describe("what cannot be is refused by its value and with the remedy, and nothing is written:", () => {
  /** IN, OUT or both are replaced in the arguments. */
  const refusal = async (status: number, message: string, args: readonly string[]) => {
    const command = quantize(...args.map((arg) => ({ IN: original, OUT: twin })[arg] ?? arg));
    expect(await command.exit, command.output()).toBe(status);
    expect(command.stderr()).toContain(message);
    expect(command.stderr()).not.toContain("    at ");
    expect(command.stdout()).toBe("");
  };

  test.each([
    ["no file", 2, "give two files: quantize IN OUT", []],
    ["one file", 2, "give two files: quantize IN OUT", ["IN"]],
    ["three files", 2, "give two files: quantize IN OUT", ["IN", "OUT", "more"]],
    ["an option that is none", 2, "no option --force", ["IN", "OUT", "--force"]],
    ["a file that is not there", 1, "/nowhere/in.pth: does not open: No such file", ["/nowhere/in.pth", "OUT"]],
    ["a file onto itself", 2, "is the file to be read; give another path", ["IN", "IN", "--replace"]],
    ["a folder that is not there", 1, "/nowhere/q.pth", ["IN", "/nowhere/q.pth"]],
    ["a place that is a folder", 2, "/tmp: is a folder", ["IN", "/tmp"]],
    ["a full disk", 1, "/dev/full: cannot be written: No space left on device; make room", ["IN", "/dev/full"]],
  ])("%s", async (_, status, message, args) => {
    await refusal(status, message, args);
    expect(await readdir(out)).toEqual([]);
  });

  test("a file that is no checkpoint, one of another model, and one that is quantised already", async () => {
    const page = join(out, "page.pth");
    await writeFile(page, "<html>404 Not Found</html>");
    await refusal(1, page, [page, "OUT"]);
    const vae = join(models, "turboclip-demo", "Wan2.1_VAE.pth");
    await refusal(1, "expected a TurboWan transformer", [vae, "OUT"]);
    const once = join(out, "once.pth");
    await quantized(original, once);
    await refusal(2, "once.pth: is quantised already", [once, "OUT"]);
    expect((await readdir(out)).sort()).toEqual(["once.pth", "page.pth"]);
  });

  test("the file to be read under another name", async () => {
    await symlink(original, twin);
    const before = await readFile(original);
    await refusal(2, "is the file to be read", ["IN", "OUT", "--replace"]);
    expect((await readFile(original)).equals(before)).toBe(true);
  });

  test.skipIf(process.getuid?.() === 0)("a folder that may not be written to", async () => {
    const locked = join(out, "locked");
    await mkdir(locked);
    await chmod(locked, 0o500);
    await refusal(1, "Permission denied; give a folder that exists and that you may write to", [
      "IN",
      join(locked, "q.pth"),
    ]);
  });
});
