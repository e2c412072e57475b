// What others' programs see of one whole system over HTTP: the official clients of OpenAI and of MCP, the examples of
// docs/api.md as a reader would paste them, and pictures put to the real S3 endpoint.
import { execFile } from "node:child_process";
import { mkdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import type { CallToolResult } from "@modelcontextprotocol/sdk/types.js";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TurboclipClient } from "../../client/index.ts";
import { createAccount } from "../../scripts/local/account.ts";
import { clipBatchSchema, clipPageSchema, clipSchema, estimateSchema } from "../../shared/contract/clips.ts";
import { type Upload, uploadSchema } from "../../shared/contract/uploads.ts";
import { videoPageSchema, videoSchema } from "../../shared/contract/videos.ts";
import { CREDIT_MICROS, type System, startSystem } from "./support.ts";

const run = promisify(execFile);
const MODEL = "turboclip-demo";
const JPEG_START = "ffd8ff";
const EXAMPLES_TIMEOUT_MS = 240_000;

let system: System;
let origin: string;
let apiKey: string;
beforeAll(async () => {
  system = await startSystem();
  await system.startRunner("runner");
  origin = system.edge.origin;
  apiKey = (await createAccount(system.edge, "customer", CREDIT_MICROS)).apiKey;
});
afterAll(() => system?.close());

test("OpenAI's client makes a video of 4 seconds, downloads it and deletes it", async () => {
  const client = new OpenAI({ apiKey, baseURL: `${origin}/v1` });
  const { id } = await client.videos.create({ model: MODEL, prompt: "a red ball", seconds: "4" });
  const customer = new TurboclipClient({ origin, apiKey });
  const clip = await customer.waitForClip(id);
  expect(clip).toMatchObject({ state: "succeeded", frames: 65 });
  expect(await client.videos.retrieve(id)).toMatchObject({ status: "completed", progress: 100, seconds: "4" });
  const bytes = Buffer.from(await (await client.videos.downloadContent(id)).arrayBuffer());
  expect([bytes.length, bytes.subarray(4, 8).toString("latin1")]).toEqual([clip.output?.mp4.bytes, "ftyp"]);
  expect(await client.videos.delete(id)).toMatchObject({ id, deleted: true });
  await expect(client.videos.retrieve(id)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
});

test("an MCP client orders a clip and waits for it", async () => {
  const client = new Client({ name: "a test", version: "1" });
  const requestInit = { headers: { authorization: `Bearer ${apiKey}` } };
  const transport = new StreamableHTTPClientTransport(new URL(`${origin}/mcp`), { requestInit });
  await client.connect(transport as Parameters<Client["connect"]>[0]);
  const use = async (name: string, args: Record<string, unknown>, told: number[] = []) => {
    const onprogress = ({ progress }: { progress: number }) => void told.push(progress);
    const result = (await client.callTool({ name, arguments: args }, undefined, { onprogress })) as CallToolResult;
    return clipSchema.parse(result.structuredContent);
  };
  const { id } = await use("create_clip", { model: MODEL, prompt: "a green ball", frames: 5 });
  const told: number[] = [];
  let clip = await use("wait_for_clip", { id, timeout_s: 60 }, told);
  while (clip.finished_at === null) clip = await use("wait_for_clip", { id, timeout_s: 60 });
  expect(clip).toMatchObject({ state: "succeeded", output: { mp4: { content_type: "video/mp4" } } });
  expect(told).toEqual(told.toSorted((a, b) => a - b));
  expect((await use("get_clip", { id })).state).toBe("succeeded");
  await client.close();
});

describe("the examples of docs/api.md", () => {
  let folder: string;
  beforeAll(async () => {
    folder = join(system.home, "examples");
    await mkdir(folder);
    const page = await readFile(resolve(import.meta.dirname, "../../docs/api.md"), "utf8");
    const blocks = Array.from(page.matchAll(/^```sh\n(.*?)^```$/gms), (match) => match[1] ?? "");
    const env = { PATH: process.env.PATH, TURBOCLIP_ORIGIN: origin, TURBOCLIP_API_KEY: apiKey };
    await run("bash", ["-euc", blocks.join("\n")], { cwd: folder, env, timeout: EXAMPLES_TIMEOUT_MS });
  }, EXAMPLES_TIMEOUT_MS);

  const read = async (name: string) => await readFile(join(folder, name), "utf8");
  const json = async (name: string): Promise<unknown> => JSON.parse(await read(name));

  test("estimate, order, wait for, cancel, watch and list clips", async () => {
    expect(estimateSchema.parse(await json("estimate.json"))).toMatchObject({ price_micros: 62, refusal: null });
    const clip = clipSchema.parse(await json("clip.json"));
    expect(clip).toMatchObject({ state: "succeeded", frames: 5, charged_micros: 62 });
    const { data } = clipBatchSchema.parse(await json("takes.json"));
    expect(data.map(({ seed }) => seed)).toEqual([1, 2]);
    expect(clipSchema.parse(await json("cancelled.json"))).toMatchObject({ id: data[1]?.id, state: "cancelled" });
    expect(await read("events.txt")).toContain(`"id":"${clip.id}"`);
    const listed = clipPageSchema.parse(await json("clips.json")).data;
    expect(listed.map(({ id }) => id)).toContain(clip.id);
  });

  test("download a file, a part of it and its headers", async () => {
    const clip = clipSchema.parse(await json("clip.json"));
    expect((await readFile(join(folder, "clip.mp4"))).length).toBe(clip.output?.mp4.bytes);
    expect(await read("type.txt")).toBe("ftyp");
    expect((await read("headers.txt")).toLowerCase()).toContain("content-type: video/mp4");
  });

  test("speak to /v1/videos and to /mcp", async () => {
    const { id } = videoSchema.parse(await json("video.json"));
    const { data } = videoPageSchema.parse(await json("videos.json"));
    expect(data.length).toBeLessThanOrEqual(5);
    expect(id).toMatch(/^clip_/);
    expect((await readFile(join(folder, "thumbnail.jpg"))).subarray(0, 3).toString("hex")).toBe(JPEG_START);
    expect(await read("tools.txt")).toContain("wait_for_clip");
  });

  test("have a picture that our client brings as well", async () => {
    const client = new TurboclipClient({ origin, apiKey });
    const picture = await readFile(join(folder, "thumbnail.jpg"));
    const upload = await client.uploadPicture(picture, "image/jpeg");
    expect(upload).toMatchObject({ state: "ready", bytes: picture.length, width: 256, height: 192 });
  });

  test("bring a picture", async () => {
    const upload = uploadSchema.parse(await json("upload.json"));
    expect(upload).toMatchObject({ state: "ready", content_type: "image/jpeg", width: 256, height: 192 });
  });
});

describe("a signed URL for a picture", () => {
  const file = Buffer.from("GIF89a is no picture for us");

  async function sign(): Promise<NonNullable<Upload["put"]> & { id: string }> {
    const headers = { authorization: `Bearer ${apiKey}`, "content-type": "application/json" };
    const body = JSON.stringify({ content_type: "image/png", bytes: file.length });
    const answer = await fetch(`${origin}/v1/uploads`, { method: "POST", headers, body });
    const { id, put } = uploadSchema.parse(await answer.json());
    if (put === null) throw new Error("a new upload says where to put its file");
    return { id, ...put };
  }

  async function put(url: string, headers: Record<string, string>, body = file): Promise<number> {
    const answer = await fetch(url, { method: "PUT", headers, body: new Uint8Array(body) });
    await answer.arrayBuffer();
    return answer.status;
  }

  test("takes one file of the declared length and type, and no second one", async () => {
    const { url, headers } = await sign();
    const untyped = Object.fromEntries(Object.entries(headers).filter(([name]) => name !== "content-type"));
    expect(await put(url, { ...headers, "content-type": "image/jpeg" })).toBe(403);
    expect(await put(url, untyped)).toBe(403);
    const longer = Buffer.concat([file, file]);
    expect(await put(url, { ...headers, "content-length": String(longer.length) }, longer)).toBe(403);
    expect(await put(url, headers)).toBe(200);
    expect(await put(url, headers)).toBe(412);
  });

  test("is good for nothing once any part of it is changed", async () => {
    const { url, headers } = await sign();
    const { url: other } = await sign();
    const change = (edit: (url: URL) => void) => {
      const changed = new URL(url);
      edit(changed);
      return changed.href;
    };
    const tampered = [
      change((u) => {
        u.pathname = new URL(other).pathname;
      }),
      change((u) => u.searchParams.set("X-Amz-Expires", "604800")),
      change((u) => u.searchParams.set("X-Amz-SignedHeaders", "host")),
      change((u) => u.searchParams.set("X-Amz-Signature", "0".repeat(64))),
      change((u) => u.searchParams.delete("X-Amz-Signature")),
    ];
    for (const name of new URL(url).searchParams.keys()) {
      const value = new URL(url).searchParams.get(name) ?? "";
      const last = value.endsWith("0") ? "1" : "0";
      tampered.push(change((u) => u.searchParams.set(name, `${value.slice(0, -1)}${last}`)));
      tampered.push(change((u) => u.searchParams.delete(name)));
    }
    expect(tampered.length).toBeGreaterThan(12);
    for (const wrong of tampered) expect(await put(wrong, headers), wrong).toBeGreaterThanOrEqual(400);
    const read = await fetch(url);
    await read.arrayBuffer();
    expect(read.status).toBe(403);
    expect(await put(url, headers)).toBe(200);
  });

  test("takes what is no picture, which is then found out", async () => {
    const client = new TurboclipClient({ origin, apiKey });
    await expect(client.uploadPicture(file, "image/png")).rejects.toMatchObject({ code: "upload_rejected" });
  });
});
