// Which models an engine process keeps, with a stand-in for the backend that has room for so much.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { DevicePlan } from "../../../native/plan.ts";
import type { ModelOnDisk } from "../../../runner/checkpoints/find.ts";
import { defaultSampling } from "../../../runner/checkpoints/find.ts";
import { LoadedModels } from "../../../runner/engine/models.ts";
import type { EngineBackend } from "../../../runner/engine/native.ts";
import { fakeModel, smallClip, type TestFolder, testFolder } from "../support/host.ts";

let folder: TestFolder;
let files: ModelOnDisk;
/** Models in memory, oldest first, and all that was asked of the backend. */
let held: string[];
let asked: string[];

beforeAll(async () => {
  folder = await testFolder();
  files = await fakeModel(folder.path);
});
beforeEach(() => {
  held = [];
  asked = [];
});
afterAll(() => folder.remove());

const named = (name: string): ModelOnDisk => ({ ...files, id: name, transformer: name });

const PLAN: DevicePlan = {
  ...{ textEncoding: "int8", available: 3 * 2 ** 30, layers: 4, streamed: 0, transformer: 0, textEncoder: 2 ** 29 },
  ...{ decoders: 0, denoise: 0, ring: 0, decode: 0, text: 0, peak: 2 * 2 ** 30, host: 0, fits: true, remedy: "" },
};

/** Room for `whole` models, or for one alone in part. */
function backend(whole: number, partly = false): EngineBackend {
  return {
    name: "fake",
    async load({ transformer }, options = {}) {
      const fits = held.length < whole || (partly && held.length === 0 && !options.whole);
      const planned = options.largest === undefined ? "" : ` for ${options.largest.width}x${options.largest.height}`;
      asked.push(`${transformer}${options.whole ? " whole" : ""}${planned}${fits ? "" : " refused"}`);
      if (!fits) throw Object.assign(new Error(`no room for ${transformer}`), { code: "out_of_memory" });
      held.push(transformer);
      return {
        vocabulary: 1_000_000,
        info: {},
        generate: () => Promise.reject(new Error("unused")),
        cancel: () => {},
        free: () => void held.splice(held.indexOf(transformer), 1),
      };
    },
  };
}

async function use(models: LoadedModels, ...names: readonly string[]): Promise<void> {
  for (const name of names) await models.require(named(name), {});
}

describe("the models of an engine process", () => {
  test("stay while they fit, and each is loaded once", async () => {
    const models = new LoadedModels(backend(3), 1);
    await use(models, "a", "b", "c", "a", "c", "b");
    expect(held).toEqual(["a", "b", "c"]);
    expect(asked).toHaveLength(3);
  });

  test("go in the order of their last use when another needs their room", async () => {
    const models = new LoadedModels(backend(2), 1);
    await use(models, "a", "b", "a", "c");
    expect(held).toEqual(["a", "c"]);
    await use(models, "b");
    expect(held).toEqual(["c", "b"]);
    expect(models.has("a")).toBe(false);
  });

  test("all go for one that may be held in part only when nothing else is there", async () => {
    const models = new LoadedModels(backend(0, true), 1);
    await use(models, "large");
    expect(asked).toEqual(["large"]);
    await use(models, "larger");
    expect(asked).toEqual(["large", "larger whole refused", "larger"]);
    expect(held).toEqual(["larger"]);
  });

  test("are told when one does not fit even alone, and the next may", async () => {
    const models = new LoadedModels(backend(0), 1);
    await expect(use(models, "huge")).rejects.toThrow("no room for huge");
    expect(models.has("huge")).toBe(false);
  });

  test("are planned for the largest clip that is sold, and if that does not fit for the one that is asked for", async () => {
    const models = new LoadedModels(backend(0), 1);
    const model = { ...files, transformer: "demo" };
    const clip = { request: smallClip(1), sampling: defaultSampling(model) };
    await expect(models.require(model, clip)).rejects.toThrow("no room");
    const { width, height } = clip.request;
    expect(asked).toEqual(["demo for 224x224 refused", `demo for ${width}x${height} refused`]);
  });

  test("are told of with what they take of the device before they are loaded, if they fit", async () => {
    const told: string[] = [];
    const planning: EngineBackend = {
      ...backend(1),
      plan: ({ transformer }, { clip }) => {
        told.push(`planned for ${clip.width}x${clip.height}`);
        return { ...PLAN, fits: transformer !== "huge" };
      },
    };
    const models = new LoadedModels(planning, 1, (id, plan) => told.push(`${id} (${asked.length} loads): ${plan}`));
    const loaded = await models.require({ ...files, transformer: "demo" }, {});
    expect(told).toEqual([
      "planned for 224x224",
      expect.stringMatching(/^turboclip-demo \(0 loads\): a clip of 224x224 and \d+ frames takes 2\.00 of 3\.00 GiB/),
    ]);
    expect(told[1]).toContain(loaded.plan);
    told.length = 0;
    models.keepOnly("none");
    await models.require({ ...files, transformer: "huge" }, {});
    expect(told).toEqual(["planned for 224x224"]);
  });

  test("make room for a clip that needs all of it", async () => {
    const models = new LoadedModels(backend(3), 1);
    await use(models, "a", "b", "c");
    expect(models.keepOnly("b")).toBe(true);
    expect(held).toEqual(["b"]);
    expect(models.keepOnly("b")).toBe(false);
  });
});
