import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeMp4 } from "../../../runner/media/encode.ts";
import { type Frames, frameBytes } from "../../../runner/media/frames.ts";
import { type Ffmpeg, findFfmpeg } from "../../../runner/media/locate.ts";
import { markAsGenerated } from "../../../runner/media/provenance.ts";
import { type TestFolder, testFolder } from "../support/host.ts";
import { boxes } from "../support/mp4.ts";

const SIZE = { width: 64, height: 48, count: 5 } as const;
const frames: Frames = { ...SIZE, nv12: Buffer.alloc(frameBytes(SIZE) * SIZE.count, 90) };

let folder: TestFolder;
let ffmpeg: Ffmpeg;
let file: string;
let version: string;

beforeAll(async () => {
  folder = await testFolder();
  ffmpeg = await findFfmpeg(process.env);
  file = join(folder.path, "clip.mp4");
  await encodeMp4({ ffmpeg, frames, file });
  ({ version } = JSON.parse(await readFile(new URL("../../../package.json", import.meta.url), "utf8")));
});
afterAll(() => folder.remove());

/** What ffmpeg makes of the file, which it must read without an error. */
function read(...output: readonly string[]): Buffer {
  const { status, stdout, stderr } = spawnSync(ffmpeg.path, ["-v", "error", "-i", file, ...output, "-"]);
  expect([status, stderr.toString()]).toEqual([0, ""]);
  return stdout;
}

describe("a clip is marked as made by a model", () => {
  test("by an XMP packet in the last box, with IPTC's digital source type and the tool, and no more", async () => {
    const found = boxes(await readFile(file));
    expect(found.map(({ type }) => type)).toEqual(["ftyp", "moov", "free", "mdat", "uuid"]);
    const box = found.at(-1)?.body ?? Buffer.alloc(0);
    expect(box.subarray(0, 16).toString("hex")).toBe("be7acfcb97a942e89c71999491e3afac");
    const packet = box.toString("utf8", 16);
    expect(packet).toMatch(
      /^<\?xpacket begin="\uFEFF" id="W5M0MpCehiHzreSzNTczkc9d"\?>\n<x:xmpmeta [\s\S]*<\?xpacket end="r"\?>$/,
    );
    expect([...packet.matchAll(/(\w+:\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value])).toEqual([
      ["xmlns:x", "adobe:ns:meta/"],
      ["xmlns:rdf", "http://www.w3.org/1999/02/22-rdf-syntax-ns#"],
      ["rdf:about", ""],
      ["xmlns:Iptc4xmpExt", "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"],
      ["xmlns:xmp", "http://ns.adobe.com/xap/1.0/"],
      ["Iptc4xmpExt:DigitalSourceType", "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"],
      ["xmp:CreatorTool", `turboclip ${version}`],
    ]);
  });

  test("by a comment for those who read no XMP", () => {
    const metadata = read("-c", "copy", "-f", "ffmetadata").toString();
    expect(metadata).toContain(`\ncomment=AI-generated video, made with turboclip ${version}\n`);
  });

  test("and still plays: every frame decodes", () => {
    expect(read("-f", "rawvideo", "-pix_fmt", "rgb24").length).toBe(frames.nv12.length * 2);
  });

  test("with the same bytes each time", async () => {
    const again = join(folder.path, "again.mp4");
    await encodeMp4({ ffmpeg, frames, file: again });
    expect((await readFile(again)).equals(await readFile(file))).toBe(true);
  });
});

test("a disk that is full when the mark is written is told as such", async () => {
  await expect(markAsGenerated("/dev/full")).rejects.toMatchObject({
    kind: "disk_full",
    message: expect.stringContaining("the disk is full"),
  });
});

test("a file that cannot be written is named", async () => {
  const nowhere = join(folder.path, "nowhere", "clip.mp4");
  await expect(markAsGenerated(nowhere)).rejects.toMatchObject({
    kind: "failed",
    message: expect.stringContaining("nowhere/clip.mp4"),
  });
});
