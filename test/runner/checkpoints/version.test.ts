import { copyFile, open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { checkpointVersion } from "../../../runner/checkpoints/version.ts";
import { type TestFolder, testFolder } from "../support/host.ts";

const GIB = 1024 ** 3;
let folder: TestFolder;
beforeAll(async () => {
  folder = await testFolder();
});
afterAll(() => folder.remove());

/** A file of this size whose bytes are 0 but for one. Sparse, so it takes no room. */
async function sparse(name: string, bytes: number, oneAt: number): Promise<string> {
  const path = join(await folder.fresh(name), "Big.pth");
  const file = await open(path, "w");
  await file.truncate(bytes);
  await file.write(Uint8Array.of(1), 0, 1, oneAt);
  await file.close();
  return path;
}

describe("the version of a checkpoint", () => {
  test("is its name and the begin of a digest, and a copy has the same", async () => {
    const path = join(await folder.fresh("a"), "TurboWan-Demo-quant.pth");
    await writeFile(path, "weights");
    const version = await checkpointVersion(path);
    expect(version).toMatch(/^TurboWan-Demo-quant@[0-9a-f]{12}$/);
    const copy = join(await folder.fresh("b"), "TurboWan-Demo-quant.pth");
    await copyFile(path, copy);
    expect(await checkpointVersion(copy)).toBe(version);
    await writeFile(copy, "Weights");
    expect(await checkpointVersion(copy)).not.toBe(version);
    const renamed = join(await folder.fresh("c"), "Other.safetensors");
    await copyFile(path, renamed);
    expect(await checkpointVersion(renamed)).toBe(version.replace("TurboWan-Demo-quant", "Other"));
  });

  test("tells files of gigabytes apart by their size, their end and blocks of all of it", async () => {
    const at = [0, 5, 28 * GIB - 1, 28 * GIB - 1024 ** 2];
    const paths = await Promise.all([
      ...at.map((oneAt) => sparse(`at-${oneAt}`, 28 * GIB, oneAt)),
      sparse("shorter", 28 * GIB - 1, 0),
    ]);
    const versions = await Promise.all(paths.map(checkpointVersion));
    expect(new Set(versions).size).toBe(versions.length);
  });
});
