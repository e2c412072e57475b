import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { TurboclipClient } from "../../client/index.ts";
import type { Clip } from "../../shared/contract/clips.ts";
import { CREDIT_MICROS, enginePid, type System, startSystem, waitForStep } from "./support.ts";

const ORDER = { model: "turboclip-demo", prompt: "a red ball bouncing on a green field" } as const;
/** ceil(1000 * 33 / 81) micro-dollars. */
const PRICE_MICROS = 408;

let system: System;
beforeAll(async () => {
  system = await startSystem();
});
afterAll(() => system?.close());

async function orderAndWait(
  client: TurboclipClient,
  order: Parameters<TurboclipClient["createClip"]>[0],
): Promise<Clip> {
  const created = await client.createClip(order);
  return client.waitForClip(created.id);
}

async function download(client: TurboclipClient, clip: Clip): Promise<Buffer> {
  if (clip.output === null) throw new Error(`the clip ${clip.state} without output: ${clip.error?.message}`);
  const file = join(system.home, `${clip.id}.mp4`);
  await client.download(clip.output.mp4.url, file);
  return readFile(file);
}

function expectCharged(balance: { posted_micros: number; pending_micros: number }, clips: number): void {
  expect(balance).toMatchObject({ posted_micros: CREDIT_MICROS - clips * PRICE_MICROS, pending_micros: 0 });
}

describe("with one runner", () => {
  let customer: TurboclipClient;
  let runner: Awaited<ReturnType<System["startRunner"]>>;
  beforeAll(async () => {
    runner = await system.startRunner("runner");
  });
  afterAll(() => runner?.stop());

  test("a prompt becomes an MP4, shown by stage and step, charged once", async () => {
    customer = await system.customer();
    const created = await customer.createClip({ ...ORDER, seed: 7 });
    expect(created).toMatchObject({ state: "queued", price_micros: PRICE_MICROS, charged_micros: 0, output: null });
    const stages = new Set<string>();
    const clip = await customer.waitForClip(created.id, {
      onProgress: (current) => current.progress && stages.add(current.progress.stage),
    });
    expect(clip).toMatchObject({ state: "succeeded", attempt: 1, charged_micros: PRICE_MICROS, error: null });
    expect(stages).toContain("denoise");
    expect(stages).toContain("decode");
    expect(Object.keys(clip.timings ?? {})).toEqual(
      expect.arrayContaining(["text_encode", "denoise", "decode", "encode"]),
    );
    const bytes = await download(customer, clip);
    expect(bytes.byteLength).toBe(clip.output?.mp4.bytes);
    expect(bytes.subarray(4, 8).toString("latin1")).toBe("ftyp");
    expectCharged(await customer.getBalance(), 1);
    const poster = await fetch(clip.output?.poster.url ?? "");
    expect(poster.headers.get("content-type")).toBe("image/jpeg");
    expect(
      Buffer.from(await poster.arrayBuffer())
        .subarray(0, 3)
        .toString("hex"),
    ).toBe("ffd8ff");
    const preview = await fetch(clip.output?.preview?.url ?? "");
    expect(preview.headers.get("content-type")).toBe("image/gif");
    const gif = Buffer.from(await preview.arrayBuffer());
    expect([gif.length, gif.subarray(0, 6).toString("latin1")]).toEqual([clip.output?.preview?.bytes, "GIF89a"]);
  });

  test("the same seed gives equal bytes, another seed does not", async () => {
    const client = await system.customer();
    const hash = async (seed: number) => {
      const clip = await orderAndWait(client, { ...ORDER, seed });
      return createHash("sha256")
        .update(await download(client, clip))
        .digest("hex");
    };
    const [first, second, other] = [await hash(11), await hash(11), await hash(12)];
    expect(second).toBe(first);
    expect(other).not.toBe(first);
  });

  test("a download answers Range requests with exactly those bytes", async () => {
    const client = await system.customer();
    const clip = await orderAndWait(client, { ...ORDER, seed: 7 });
    const whole = await download(client, clip);
    const part = await fetch(clip.output?.mp4.url ?? "", { headers: { range: "bytes=100-299" } });
    expect(part.status).toBe(206);
    expect(part.headers.get("content-range")).toBe(`bytes 100-299/${whole.byteLength}`);
    expect(Buffer.from(await part.arrayBuffer()).equals(whole.subarray(100, 300))).toBe(true);
  });

  test("a running clip that is cancelled costs nothing and frees the runner for the next", async () => {
    const client = await system.customer();
    const created = await client.createClip(ORDER);
    await waitForStep(client, created.id, 1);
    const cancelled = await client.cancelClip(created.id);
    expect(cancelled).toMatchObject({ state: "cancelled", charged_micros: 0, output: null });
    expectCharged(await client.getBalance(), 0);
    const next = await orderAndWait(client, ORDER);
    expect(next.state).toBe("succeeded");
    expect(await client.getClip(created.id)).toMatchObject({ state: "cancelled", charged_micros: 0 });
    expectCharged(await client.getBalance(), 1);
  });

  test("kill -9 of the engine process in mid-clip costs an attempt, not the clip, and charges once", async () => {
    const client = await system.customer();
    const created = await client.createClip(ORDER);
    await waitForStep(client, created.id, 1);
    process.kill(enginePid(runner), "SIGKILL");
    const clip = await client.waitForClip(created.id);
    expect(clip).toMatchObject({ state: "succeeded", attempt: 2, charged_micros: PRICE_MICROS });
    expectCharged(await client.getBalance(), 1);
  });
});
