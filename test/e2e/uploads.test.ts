// The runner's side of uploads and the customer's of downloads against the real S3 endpoint and the real edge,
// by a runner that is only its protocol: what it may not do with a signed URL.
import { createHash } from "node:crypto";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { TurboclipClient } from "../../client/index.ts";
import { createRunner, type RunnerIdentity } from "../../scripts/local/account.ts";
import { type Clip, problemSchema } from "../../shared/contract/clips.ts";
import { type Claim, claimSchema, uploadReplySchema } from "../../shared/contract/runner.ts";
import { CREDIT_MICROS, type System, startSystem } from "./support.ts";

const FILES = { mp4: Buffer.from("not really a film"), poster: Buffer.from("nor a picture") } as const;
type OutputKind = keyof typeof FILES;
const TYPES = { mp4: "video/mp4", poster: "image/jpeg" } as const;
const md5 = (bytes: Buffer) => createHash("md5").update(bytes).digest("base64");
const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

let system: System;
let runner: RunnerIdentity;
let customer: TurboclipClient;
let clip: Clip;
let claim: Claim;

beforeAll(async () => {
  system = await startSystem();
  runner = await createRunner(system.edge, "by hand");
});
afterAll(() => system?.close());
beforeEach(async () => {
  customer = await system.customer();
  clip = await customer.createClip({ model: "turboclip-demo", prompt: "an upload" });
  const answer = await call("/poll", {
    runner_id: runner.runnerId,
    nonce: crypto.randomUUID(),
    models: ["turboclip-demo"],
    loaded_model: null,
    version: "0.1.0",
    wait_s: 0,
  });
  claim = claimSchema.parse(await answer.json());
  const started = await call(`/attempts/${claim.lease_token}/heartbeat`, { stage: "upload", step: 0, steps: 2 });
  expect(started.status).toBe(200);
});

function call(path: string, body: unknown): Promise<Response> {
  return fetch(`${system.edge.origin}/runner/v1${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${runner.token}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

/** Asks for a signed URL for this file. */
async function sign(kind: OutputKind, bytes: Buffer = FILES[kind]) {
  const order = { kind, bytes: bytes.length, md5: md5(bytes), type: TYPES[kind] };
  return uploadReplySchema.parse(await (await call(`/attempts/${claim.lease_token}/uploads`, order)).json());
}

async function put(url: string, headers: Record<string, string>, body: Buffer): Promise<number> {
  const answer = await fetch(url, { method: "PUT", headers, body: new Uint8Array(body) });
  await answer.arrayBuffer();
  return answer.status;
}

async function uploadBoth(): Promise<void> {
  for (const kind of ["mp4", "poster"] as const) {
    const signed = await sign(kind);
    expect(await put(signed.url, signed.headers, FILES[kind])).toBe(200);
  }
}

function complete(files: Record<OutputKind, Buffer> = FILES): Promise<Response> {
  const claimOf = (bytes: Buffer) => ({ bytes: bytes.length, md5: md5(bytes), sha256: sha256(bytes) });
  const outputs = { mp4: claimOf(files.mp4), poster: claimOf(files.poster) };
  return call(`/attempts/${claim.lease_token}/complete`, { outputs, timings: {}, engine: "by hand/0" });
}

const codeOf = async (answer: Response) => problemSchema.parse(await answer.json()).code;

async function expectUncharged(): Promise<void> {
  expect(await customer.getClip(clip.id)).toMatchObject({ state: "running", charged_micros: 0, output: null });
  expect(await customer.getBalance()).toMatchObject({ posted_micros: CREDIT_MICROS });
}

test("a signed URL takes exactly the bytes it was signed for, once", async () => {
  const { url, headers } = await sign("mp4");
  expect(await put(url, headers, FILES.mp4)).toBe(200);
  expect(await put(url, headers, FILES.mp4), "a repeat finds the file there").toBe(412);
});

test("an upload of another size, checksum or type is refused by the store", async () => {
  const { url, headers } = await sign("mp4");
  const longer = Buffer.concat([FILES.mp4, FILES.mp4]);
  const { "content-length": _, ...rest } = headers;
  expect(await put(url, rest, longer)).toBeGreaterThanOrEqual(400);
  const other = Buffer.from(FILES.mp4.map((byte) => byte ^ 1));
  expect(await put(url, headers, other), "another content under the same MD5").toBeGreaterThanOrEqual(400);
  expect(await put(url, { ...headers, "content-md5": md5(other) }, other)).toBe(403);
  expect(await put(url, { ...headers, "content-type": "text/html" }, FILES.mp4)).toBe(403);
  const answer = await complete();
  expect([answer.status, await codeOf(answer)]).toEqual([409, "upload_missing"]);
  await expectUncharged();
});

test("completing with another size or checksum than was uploaded is refused and charges nothing", async () => {
  await uploadBoth();
  for (const mp4 of [Buffer.from("something longer than it was"), Buffer.from(FILES.mp4.map((byte) => byte ^ 1))]) {
    const answer = await complete({ ...FILES, mp4 });
    expect([answer.status, await codeOf(answer)]).toEqual([422, "upload_rejected"]);
    await expectUncharged();
  }
  expect((await complete()).status).toBe(200);
  expect((await complete()).status, "the same again, as after a lost answer").toBe(200);
  const done = await customer.getClip(clip.id);
  expect(done).toMatchObject({ state: "succeeded", charged_micros: clip.price_micros });
  expect(await customer.getBalance()).toMatchObject({ posted_micros: CREDIT_MICROS - clip.price_micros });
});

test("a download URL that was changed in any part is refused, and so is another method", async () => {
  await uploadBoth();
  expect((await complete()).status).toBe(200);
  const url = new URL((await customer.getClip(clip.id)).output?.mp4.url ?? "");
  expect(Buffer.from(await (await fetch(url)).arrayBuffer()).equals(FILES.mp4)).toBe(true);
  for (const name of url.searchParams.keys()) {
    const changed = new URL(url);
    const value = changed.searchParams.get(name) ?? "";
    changed.searchParams.set(name, /^\d+$/.test(value) ? String(Number(value) + 1) : `${value}x`);
    const answer = await fetch(changed);
    expect([name, answer.status, await codeOf(answer)]).toEqual([name, 401, "unauthenticated"]);
  }
  const poster = new URL(url.href.replace("/mp4?", "/poster?"));
  expect((await fetch(poster)).status).toBe(401);
  expect((await fetch(url, { method: "POST" })).status).toBeGreaterThanOrEqual(400);
});
