import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { inflateRawSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { transformerTensors } from "../../../models/demo/layout.ts";
import { demoModelFiles, writeDemoModel } from "../../../models/demo/model-set.ts";
import { elementCount, pthFile, toBf16 } from "../../../models/demo/pth.ts";
import { vaeTensors } from "../../../models/demo/vae-layout.ts";
import { findModels } from "../../../runner/checkpoints/find.ts";
import { type TestFolder, testFolder } from "../../runner/support/host.ts";

let folder: TestFolder;
beforeAll(async () => {
  folder = await testFolder();
});
afterAll(() => folder.remove());

interface Entry {
  readonly name: string;
  readonly dataAt: number;
  readonly data: Buffer;
}

/** Reads a zip by its central directory, as a checkpoint reader does. */
function readZip(file: Buffer): Entry[] {
  const end = file.lastIndexOf(Buffer.from("PK\x05\x06", "latin1"));
  let at = file.readUInt32LE(end + 16);
  return Array.from({ length: file.readUInt16LE(end + 10) }, () => {
    const [method, size, nameLength] = [
      file.readUInt16LE(at + 10),
      file.readUInt32LE(at + 20),
      file.readUInt16LE(at + 28),
    ];
    const local = file.readUInt32LE(at + 42);
    const name = file.toString("utf8", at + 46, at + 46 + nameLength);
    const dataAt = local + 30 + file.readUInt16LE(local + 26) + file.readUInt16LE(local + 28);
    const stored = file.subarray(dataAt, dataAt + size);
    at += 46 + nameLength + file.readUInt16LE(at + 30) + file.readUInt16LE(at + 32);
    return { name, dataAt, data: method === 0 ? stored : inflateRawSync(stored) };
  });
}

describe("a .pth that we write", () => {
  const tensor = {
    name: "a.weight",
    shape: [2, 3],
    type: "bf16",
    data: toBf16(Float32Array.of(1, -2, 0.5, Math.PI, 0, 1e-3)),
  } as const;
  const bias = { name: "b", shape: [2], type: "f32", data: new Uint8Array(Float32Array.of(1, 2).buffer) } as const;

  test("is a stored zip with the pickle first and every storage at a multiple of 64 bytes", () => {
    const entries = readZip(pthFile("tiny", [tensor, bias]));
    expect(entries.map((entry) => entry.name)).toEqual(
      ["data.pkl", ".format_version", ".storage_alignment", "byteorder", "data/0", "data/1", "version"].map(
        (name) => `tiny/${name}`,
      ),
    );
    for (const entry of entries) expect(entry.dataAt % 64).toBe(0);
    expect(entries.find((entry) => entry.name === "tiny/data/1")?.data.readFloatLE(4)).toBe(2);
  });

  test("holds bfloat16 rounded to nearest, ties to even", () => {
    const halves = new Uint16Array(toBf16(Float32Array.of(1, 1.00390625, 1.01171875, Math.PI, -0)).buffer);
    expect([...halves].map((half) => half.toString(16))).toEqual(["3f80", "3f80", "3f82", "4049", "8000"]);
  });

  test("refuses data that does not fit the shape, by the tensor's name", () => {
    expect(() => pthFile("x", [{ ...tensor, shape: [2, 2] }])).toThrow("a.weight: 12 bytes are not [2, 2] in bf16");
  });
});

describe("the demo model set", () => {
  test("has the registry's file names, at most 12 MB, and is found by a runner", async () => {
    const set = join(folder.path, "turboclip-demo");
    writeDemoModel(set);
    const { found } = await findModels(folder.path, "vae");
    expect(found.map((model) => model.id)).toEqual(["turboclip-demo"]);
    const sizes = await Promise.all(demoModelFiles().map(async ({ name }) => (await stat(join(set, name))).size));
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(12_000_000);
  });

  test("is the same for the same seed, and another for another", () => {
    const [first, again, other] = [demoModelFiles(5), demoModelFiles(5), demoModelFiles(6)];
    for (const [i, { content }] of first.entries())
      expect(Buffer.from(content).equals(Buffer.from(again[i]?.content ?? ""))).toBe(true);
    expect(Buffer.from(first[0]?.content ?? "").equals(Buffer.from(other[0]?.content ?? ""))).toBe(false);
  });

  test("has as many tensors of as many values as the official files at their widths", () => {
    const vae = vaeTensors(96, 1);
    expect([vae.length, vae.reduce((sum, spec) => sum + elementCount(spec.shape), 0)]).toEqual([194, 126_892_531]);
    const official = transformerTensors({ width: 1536, ffn: 8960, layers: 30, textWidth: 4096, inChannels: 16 });
    expect(official).toHaveLength(885);
  });

  test("keeps proj_l in float32, as the official files do", async () => {
    const file = await readFile(join(folder.path, "turboclip-demo", "TurboWan-Demo.pth"));
    const pickle =
      readZip(file)
        .find((entry) => entry.name.endsWith("data.pkl"))
        ?.data.toString("latin1") ?? "";
    expect(pickle).toMatch(/proj_l\.weight[\s\S]{0,80}torch\nFloatStorage/);
    expect(pickle).toMatch(/self_attn\.q\.weight[\s\S]{0,80}torch\nBFloat16Storage/);
  });
});
