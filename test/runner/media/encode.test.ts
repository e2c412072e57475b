import { execFileSync } from "node:child_process";
import { chmod, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { digestFile } from "../../../runner/media/digest.ts";
import { encodeMp4, encodePoster, encodePreview, streamMp4 } from "../../../runner/media/encode.ts";
import { MediaError } from "../../../runner/media/ffmpeg.ts";
import { ArrivingFrames } from "../../../runner/media/frames.ts";
import { type Ffmpeg, findFfmpeg } from "../../../runner/media/locate.ts";
import { type TestFolder, testFolder } from "../support/host.ts";
import { readMp4 } from "../support/mp4.ts";
import { framesOf } from "../support/nv12.ts";

const WIDTH = 256;
const HEIGHT = 192;
const COUNT = 33;

let ffmpeg: Ffmpeg;
let folder: TestFolder;

beforeAll(async () => {
  ffmpeg = await findFfmpeg(process.env);
  folder = await testFolder();
});
afterAll(() => folder.remove());

/** Smooth colours that move, with every hue in them. */
function movingColours(): Buffer {
  const rgb = Buffer.alloc(WIDTH * HEIGHT * 3 * COUNT);
  for (let i = 0; i < rgb.length; i += 3) {
    const pixel = i / 3;
    const [x, y, t] = [pixel % WIDTH, Math.floor(pixel / WIDTH) % HEIGHT, Math.floor(pixel / (WIDTH * HEIGHT))];
    rgb[i] = 128 + 110 * Math.sin((x + 4 * t) / 40);
    rgb[i + 1] = 128 + 110 * Math.sin((y - 3 * t) / 30);
    rgb[i + 2] = 128 + 110 * Math.sin((x + y + 5 * t) / 50);
  }
  return rgb;
}

const rgb = movingColours();
const frames = framesOf(rgb, { width: WIDTH, height: HEIGHT }, COUNT);

/** Peak signal to noise in decibels. */
function psnr(a: Buffer, b: Buffer): number {
  expect(b.length).toBe(a.length);
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += ((a[i] ?? 0) - (b[i] ?? 0)) ** 2;
  return 10 * Math.log10(255 ** 2 / (sum / a.length));
}

function decode(file: string, ...filter: string[]): Buffer {
  const output = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"];
  return execFileSync(ffmpeg.path, ["-v", "error", "-i", file, ...filter, ...output], { maxBuffer: 1 << 28 });
}

describe("the MP4 of a clip", () => {
  let file: string;
  beforeAll(async () => {
    file = join(folder.path, "clip.mp4");
    await encodeMp4({ ffmpeg, frames, file });
  });

  test("is H.264 High at 16 frames a second, index in front, tagged BT.709 limited range", async () => {
    expect(readMp4(await readFile(file))).toEqual({
      topLevel: ["ftyp", "moov", "free", "mdat", "uuid"],
      ...{ width: WIDTH, height: HEIGHT, samples: COUNT, seconds: COUNT / 16, profile: 100 },
      colour: [1, 1, 1, false],
    });
  });

  test("decodes to the frames that went in", () => {
    expect(psnr(rgb, decode(file))).toBeGreaterThan(38);
  });

  test("was converted as BT.709, as it says", () => {
    // Read as BT.601 instead, the colours must be visibly off: the tag and the pixels agree.
    const as601 = decode(file, "-vf", "scale=in_color_matrix=bt601");
    expect(psnr(rgb, as601)).toBeLessThan(psnr(rgb, decode(file)) - 8);
  });

  test("has the same bytes when its frames came one after the other", async () => {
    const streamed = join(folder.path, "streamed.mp4");
    const arriving = new ArrivingFrames(frames);
    const encoding = streamMp4({ ffmpeg, frames: arriving, width: WIDTH, height: HEIGHT, file: streamed });
    for (const until of [1, 5, 9, 9, 13, 30]) {
      await new Promise(setImmediate);
      arriving.push(frames.nv12, until);
    }
    arriving.push(frames.nv12, COUNT);
    arriving.end();
    await encoding;
    expect((await readFile(streamed)).equals(await readFile(file))).toBe(true);
  });

  test("is given up when its frames break off", async () => {
    const arriving = new ArrivingFrames(frames);
    const stop = new AbortController();
    const broken = join(folder.path, "broken.mp4");
    const size = { width: WIDTH, height: HEIGHT };
    const encoding = streamMp4({ ffmpeg, frames: arriving, ...size, file: broken, signal: stop.signal });
    arriving.push(frames.nv12, 5);
    stop.abort();
    arriving.end();
    await expect(encoding).rejects.toMatchObject({ kind: "aborted" });
  });

  test("has the same bytes each time, and no date in them", async () => {
    const again = join(folder.path, "again.mp4");
    await encodeMp4({ ffmpeg, frames, file: again });
    expect((await readFile(again)).equals(await readFile(file))).toBe(true);
  });
});

test("the poster is the middle frame as a JPEG, the same bytes each time", async () => {
  const file = join(folder.path, "poster.jpg");
  await encodePoster({ ffmpeg, frames, file });
  const bytes = await readFile(file);
  expect(bytes.subarray(0, 3).toString("hex")).toBe("ffd8ff");
  expect(bytes.subarray(-2).toString("hex")).toBe("ffd9");
  const frame = WIDTH * HEIGHT * 3;
  expect(psnr(rgb.subarray(16 * frame, 17 * frame), decode(file))).toBeGreaterThan(33);
  await encodePoster({ ffmpeg, frames, file });
  expect((await readFile(file)).equals(bytes)).toBe(true);
});

describe("the preview of a clip", () => {
  test("is a GIF that repeats for ever, at half the frames, the same bytes each time", async () => {
    const file = join(folder.path, "preview.gif");
    await encodePreview({ ffmpeg, frames, file });
    const bytes = await readFile(file);
    expect(bytes.subarray(0, 6).toString("latin1")).toBe("GIF89a");
    expect([bytes.readUInt16LE(6), bytes.readUInt16LE(8)]).toEqual([240, 180]);
    expect(bytes.includes("NETSCAPE2.0\x03\x01\x00\x00", 0, "latin1")).toBe(true);
    const shown = decode(file, "-vf", `scale=${WIDTH}:${HEIGHT}`);
    const frame = WIDTH * HEIGHT * 3;
    expect(shown.length / frame).toBeGreaterThanOrEqual(Math.floor(COUNT / 2));
    expect(shown.length / frame).toBeLessThanOrEqual(Math.ceil(COUNT / 2) + 1);
    expect(psnr(rgb.subarray(0, frame), shown.subarray(0, frame))).toBeGreaterThan(20);
    await encodePreview({ ffmpeg, frames, file });
    expect((await readFile(file)).equals(bytes)).toBe(true);
  });

  test.each([
    [832, 480, 240, 138],
    [480, 832, 138, 240],
    [720, 720, 240, 240],
    [128, 96, 128, 96],
  ])("of %d x %d pixels has %d x %d", async (width, height, small, high) => {
    const file = join(folder.path, "small.gif");
    const nv12 = Buffer.alloc((width * height * 3 * 5) / 2, 90);
    await encodePreview({ ffmpeg, frames: { nv12, width, height, count: 5 }, file });
    const bytes = await readFile(file);
    expect([bytes.readUInt16LE(6), bytes.readUInt16LE(8)]).toEqual([small, high]);
  });
});

describe("encoding that cannot work says so:", () => {
  test("a full disk", async () => {
    await expect(encodeMp4({ ffmpeg, frames, file: "/dev/full" })).rejects.toMatchObject({
      kind: "disk_full",
      message: expect.stringContaining("No space left on device"),
    });
  });

  test("a folder that is not there, by its name", async () => {
    const file = join(folder.path, "nowhere", "clip.mp4");
    await expect(encodeMp4({ ffmpeg, frames, file })).rejects.toMatchObject({
      kind: "failed",
      message: expect.stringContaining("nowhere/clip.mp4"),
    });
  });

  test("an ffmpeg that is not there", async () => {
    const gone = { ...ffmpeg, path: "/nowhere/ffmpeg" };
    const file = join(folder.path, "x.mp4");
    await expect(encodeMp4({ ffmpeg: gone, frames, file })).rejects.toMatchObject({
      kind: "missing",
      message: expect.stringContaining("/nowhere/ffmpeg"),
    });
  });

  test("an ffmpeg that is killed", async () => {
    const suicidal = await script('read -r -n 100000; kill -9 "$$"');
    const file = join(folder.path, "x.mp4");
    await expect(encodeMp4({ ffmpeg: { ...ffmpeg, path: suicidal }, frames, file })).rejects.toMatchObject({
      kind: "failed",
      message: expect.stringContaining("SIGKILL"),
    });
  });

  test("an ffmpeg that closes its input and complains: its last words", async () => {
    const rude = await script("exec 0<&-; echo 'first' >&2; echo 'no such codec' >&2; exit 3");
    const file = join(folder.path, "x.mp4");
    await expect(encodeMp4({ ffmpeg: { ...ffmpeg, path: rude }, frames, file })).rejects.toThrow(
      /ended with status 3: first \| no such codec/,
    );
  });

  test("frames that are not whole", async () => {
    const short = { ...frames, nv12: frames.nv12.subarray(1) };
    await expect(encodeMp4({ ffmpeg, frames: short, file: "unused" })).rejects.toThrow("33 frames of 256x192");
  });
});

test("encoding stops when asked", async () => {
  const deaf = await script("exec sleep 60");
  const stop = new AbortController();
  const encoding = encodeMp4({ ffmpeg: { ...ffmpeg, path: deaf }, frames, file: "unused", signal: stop.signal });
  stop.abort();
  await expect(encoding).rejects.toMatchObject({ kind: "aborted" });
  const late = encodeMp4({ ffmpeg, frames, file: "unused", signal: stop.signal });
  await expect(late).rejects.toMatchObject({ kind: "aborted" });
});

let scripts = 0;
/** A shell script that stands in for ffmpeg. */
async function script(body: string): Promise<string> {
  const path = join(folder.path, `ffmpeg-${scripts++}`);
  await writeFile(path, `#!/bin/bash\n${body}\n`);
  await chmod(path, 0o755);
  return path;
}

describe("finding ffmpeg", () => {
  test("gives one whose encoder has encoded here", () => {
    expect(["h264_nvenc", "libx264"]).toContain(ffmpeg.encoder);
    expect(ffmpeg.version).toMatch(/^ffmpeg version /);
  });

  test("takes FFMPEG_PATH or nothing, and names it", async () => {
    await expect(findFfmpeg({ FFMPEG_PATH: "/nowhere/ffmpeg" })).rejects.toThrow(/FFMPEG_PATH.*\/nowhere\/ffmpeg/);
    await expect(findFfmpeg({ FFMPEG_PATH: "/bin/true" })).rejects.toThrow("/bin/true is not ffmpeg");
    await expect(findFfmpeg({ FFMPEG_PATH: "/bin/true" })).rejects.toThrow(MediaError);
  });

  test("refuses one without an H.264 encoder that works, with each one's reason", async () => {
    const old = await script(
      '[ "$1" = -version ] && { echo "ffmpeg version 1 Copyright"; exit 0; }; echo "Unknown encoder" >&2; exit 1',
    );
    await expect(findFfmpeg({ FFMPEG_PATH: old })).rejects.toThrow(
      /h264_nvenc: .*Unknown encoder; libx264: .*Unknown encoder/,
    );
  });
});

test("a file's size and digests are those of its bytes", async () => {
  const file = join(folder.path, "abc");
  await writeFile(file, "abc");
  expect(await digestFile(file)).toEqual({
    bytes: (await stat(file)).size,
    md5: "kAFQmDzST7DWlj99KOF/cg==",
    sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
  });
});
