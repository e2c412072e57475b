import { spawnSync } from "node:child_process";
import { mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { WorkFolder } from "../../../runner/control/work-folder.ts";
import { type TestFolder, testFolder } from "../support/host.ts";

let folder: TestFolder;
beforeAll(async () => {
  folder = await testFolder();
});
afterAll(() => folder.remove());

test("folders of runners that died are swept, those of runners that live and of other hosts stay", async () => {
  const root = await folder.fresh("root");
  const mine = await WorkFolder.open(root);
  const dead = spawnSync("true").pid;
  const ofDead = basename(mine.path).replace(`-${process.pid}-`, `-${dead}-`);
  for (const name of [ofDead, `runner-elsewhere-${dead}-abc`, "not-ours"]) {
    await mkdir(join(root, name));
    await writeFile(join(root, name, "clip.mp4"), "x");
  }
  const next = await WorkFolder.open(root);
  expect((await readdir(root)).sort()).toEqual(
    [basename(mine.path), basename(next.path), "not-ours", `runner-elsewhere-${dead}-abc`].sort(),
  );
});

test("each attempt has a folder of its own, for nobody else to read, gone when removed", async () => {
  const work = await WorkFolder.open(await folder.fresh("other"));
  const [first, second] = [await work.forClip("clip_1"), await work.forClip("clip_1")];
  expect(first).not.toBe(second);
  expect(dirname(first)).toBe(work.path);
  expect((await stat(first)).mode & 0o077).toBe(0);
  await work.remove(first);
  expect(await readdir(work.path)).toEqual([basename(second)]);
  await work.remove();
  await expect(stat(work.path)).rejects.toThrow("ENOENT");
});
