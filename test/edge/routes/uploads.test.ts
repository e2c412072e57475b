import { beforeEach, describe, expect, it } from "vitest";
import { DEFAULT_TIMES } from "../../../edge/services/ports.ts";
import { sweep } from "../../../edge/services/sweep.ts";
import { removeUploads } from "../../../edge/services/uploads/remove.ts";
import { UPLOAD_LIMITS, type Upload, uploadSchema } from "../../../shared/contract/uploads.ts";
import { env } from "../support/env.ts";
import { call, expectProblem } from "../support/http.ts";
import { everything } from "../support/invariants.ts";
import { pictureFile, pngHeader } from "../support/pictures.ts";
import { newTenant, type Tenant } from "../support/tenant.ts";
import { DEMO, freshDeployment, World } from "../support/world.ts";

beforeEach(freshDeployment);

const ABSENT = "upl_01j9z3k4m5n6p7q8r9s0t1v2w3";
const PNG = pictureFile("png");
const { uploadUrlMs, uploadKeptMs } = DEFAULT_TIMES;

async function ask(
  tenant: Tenant,
  body: unknown = { content_type: "image/png", bytes: PNG.length },
): Promise<Response> {
  return await call("POST", "/v1/uploads", { token: tenant.key, body });
}

async function newUpload(tenant: Tenant, type = "image/png", bytes = PNG.length): Promise<Upload> {
  const answer = await ask(tenant, { content_type: type, bytes });
  expect(answer.status).toBe(201);
  return uploadSchema.strict().parse(await answer.json());
}

/** Stands in for the signed PUT, which the end-to-end tests send. */
async function put({ id }: Upload, file: Uint8Array): Promise<void> {
  await env.BUCKET.put(`uploads/${id}`, file);
}

async function complete(tenant: Tenant, id: string): Promise<Response> {
  return await call("POST", `/v1/uploads/${id}/complete`, { token: tenant.key });
}

async function get(tenant: Tenant, id: string): Promise<Response> {
  return await call("GET", `/v1/uploads/${id}`, { token: tenant.key });
}

async function objects(): Promise<string[]> {
  return (await env.BUCKET.list()).objects.map(({ key }) => key);
}

async function rows(): Promise<number> {
  return (await env.DB.prepare("select count(*) as n from uploads").first<{ n: number }>())?.n ?? -1;
}

/** A sweep as the Dispatcher runs it, so much later. */
async function sweepAfter(ms: number): Promise<void> {
  const world = new World();
  world.nowMs = Date.now() + ms;
  await sweep(world.ports);
}

describe("POST /v1/uploads", () => {
  it("answers 201 with a URL for one PUT of this length and type that overwrites nothing", async () => {
    const upload = await newUpload(await newTenant());
    expect(upload).toMatchObject({ object: "upload", state: "pending", width: null, height: null, rejection: null });
    expect(upload.put?.headers).toEqual({
      "content-length": String(PNG.length),
      "content-type": "image/png",
      "if-none-match": "*",
    });
    const url = new URL(upload.put?.url ?? "");
    expect(`${url.origin}${url.pathname}`).toBe(`https://s3.test/turboclip-clips/uploads/${upload.id}`);
    expect(url.searchParams.get("X-Amz-SignedHeaders")).toBe("content-length;content-type;host;if-none-match");
    expect(url.searchParams.get("X-Amz-Expires")).toBe(String(uploadUrlMs / 1_000));
  });

  it.each([
    ["/content_type", { content_type: "image/gif", bytes: 10 }],
    ["/content_type", { bytes: 10 }],
    ["/bytes", { content_type: "image/png" }],
    ["/bytes", { content_type: "image/png", bytes: 0 }],
    ["/bytes", { content_type: "image/png", bytes: UPLOAD_LIMITS.bytes + 1 }],
    ["/name", { content_type: "image/png", bytes: 10, name: "cat.png" }],
  ])("refuses %s in %j", async (pointer, body) => {
    await expectProblem(await ask(await newTenant(), body), "invalid_request", pointer);
    expect(await rows()).toBe(0);
  });

  it("asks for a key, and refuses a body over the limit", async () => {
    await expectProblem(await call("POST", "/v1/uploads", { body: {} }), "unauthenticated");
    await expectProblem(await ask(await newTenant(), { name: "x".repeat(70_000) }), "body_too_large");
  });

  it("keeps 100 uploads of an account and no more, however many are asked for at once", async () => {
    const tenant = await newTenant();
    const answers = await Promise.all(Array.from({ length: UPLOAD_LIMITS.kept + 5 }, async () => await ask(tenant)));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(UPLOAD_LIMITS.kept);
    const refused = answers.find(({ status }) => status !== 201) ?? new Response();
    expect(refused.headers.get("retry-after")).toBe("1");
    await expectProblem(refused, "rate_limited");
    await newUpload(await newTenant());
  });
});

describe("POST /v1/uploads/{id}/complete", () => {
  it.each([
    ["png", "image/png"],
    ["jpeg", "image/jpeg"],
    ["webp", "image/webp"],
  ] as const)("finds the size of a %s file, and answers the same again", async (name, type) => {
    const tenant = await newTenant();
    const file = pictureFile(name);
    const upload = await newUpload(tenant, type, file.length);
    await put(upload, file);
    const first = await complete(tenant, upload.id);
    expect(first.status).toBe(200);
    const ready = uploadSchema.strict().parse(await first.json());
    expect(ready).toMatchObject({ state: "ready", width: 80, height: 64, put: null });
    expect(Date.parse(ready.expires_at) - Date.now()).toBeGreaterThan(uploadKeptMs - 60_000);
    for (const again of [await complete(tenant, upload.id), await get(tenant, upload.id)]) {
      expect(await again.json()).toEqual(ready);
    }
  });

  it("answers upload_missing until the file is there", async () => {
    const tenant = await newTenant();
    const upload = await newUpload(tenant);
    await expectProblem(await complete(tenant, upload.id), "upload_missing");
    await put(upload, PNG);
    expect((await complete(tenant, upload.id)).status).toBe(200);
  });

  it.each([
    ["of another length", "image/png", PNG.length + 1, PNG, `${PNG.length + 1} bytes`],
    ["of another type", "image/jpeg", PNG.length, PNG, "is image/png"],
    ["that is no picture", "image/png", 5, new TextEncoder().encode("<svg>"), "no PNG"],
    ["too small", "image/png", 33, pngHeader(63, 64), "63x64"],
    ["too large", "image/png", 33, pngHeader(64, 8_193), "64x8193"],
  ])("rejects a file %s for good, and says why", async (_, type, bytes, file, words) => {
    const tenant = await newTenant();
    const upload = await newUpload(tenant, type, bytes);
    await put(upload, file);
    expect(await expectProblem(await complete(tenant, upload.id), "upload_rejected")).toContain(words);
    await put(upload, PNG);
    expect(await expectProblem(await complete(tenant, upload.id), "upload_rejected")).toContain(words);
    const seen = (await (await get(tenant, upload.id)).json()) as Upload;
    expect(seen).toMatchObject({ state: "rejected", width: null });
    expect(seen.rejection).toContain(words);
  });

  it("reads no more than a header of a large file", async () => {
    const tenant = await newTenant();
    const file = new Uint8Array(5_000_000);
    file.set(pngHeader(1_024, 768));
    const upload = await newUpload(tenant, "image/png", file.length);
    await put(upload, file);
    expect(await (await complete(tenant, upload.id)).json()).toMatchObject({ width: 1_024, height: 768 });
  });
});

describe("an upload", () => {
  it("of another account, a deleted one, an absent one and what is no id are answered in the same bytes", async () => {
    const [owner, stranger] = [await newTenant(), await newTenant()];
    const upload = await newUpload(owner);
    await put(upload, PNG);
    const deleted = await newUpload(stranger);
    expect((await call("DELETE", `/v1/uploads/${deleted.id}`, { token: stranger.key })).status).toBe(204);
    for (const [method, suffix] of [
      ["GET", ""],
      ["POST", "/complete"],
      ["DELETE", ""],
    ] as const) {
      const bodies: string[] = [];
      for (const id of [upload.id, deleted.id, ABSENT]) {
        const answer = await call(method, `/v1/uploads/${id}${suffix}`, { token: stranger.key });
        bodies.push((await answer.clone().text()).replace(answer.headers.get("x-request-id") ?? "", "req"));
        await expectProblem(answer, "not_found");
      }
      expect(new Set(bodies).size).toBe(1);
      await expectProblem(await call(method, `/v1/uploads/nonsense${suffix}`, { token: stranger.key }), "not_found");
      await expectProblem(await call(method, `/v1/uploads/${upload.id}${suffix}`), "unauthenticated");
    }
    expect((await complete(owner, upload.id)).status).toBe(200);
  });

  it("is gone at once when deleted, and so is what its URL may bring back", async () => {
    const tenant = await newTenant();
    const upload = await newUpload(tenant);
    await put(upload, PNG);
    await complete(tenant, upload.id);
    expect((await call("DELETE", `/v1/uploads/${upload.id}`, { token: tenant.key })).status).toBe(204);
    expect(await objects()).toEqual([]);
    await expectProblem(await get(tenant, upload.id), "not_found");
    await put(upload, PNG); // while the URL is still valid
    await sweepAfter(2 * uploadUrlMs + 1_000);
    expect([await objects(), await rows()]).toEqual([[], 0]);
  });

  it("that was never completed is removed once its URL is dead, a ready one after a day", async () => {
    const tenant = await newTenant();
    const [stray, ready] = [await newUpload(tenant), await newUpload(tenant)];
    await put(stray, PNG);
    await put(ready, PNG);
    await complete(tenant, ready.id);
    await sweepAfter(uploadUrlMs);
    expect(await objects()).toHaveLength(2);
    await sweepAfter(2 * uploadUrlMs + 1_000);
    expect(await objects()).toEqual([`uploads/${ready.id}`]);
    await expectProblem(await complete(tenant, stray.id), "not_found");
    await sweepAfter(uploadKeptMs + 1_000);
    expect([await objects(), await rows()]).toEqual([[], 0]);
  });

  it("is removed by the next sweep when one dies between the bucket and the rows", async () => {
    await put(await newUpload(await newTenant()), PNG);
    const world = new World();
    world.nowMs = Date.now() + 2 * uploadUrlMs + 1_000;
    const { store } = world.ports;
    const dying = {
      ...store,
      remove: async (keys: readonly string[]) => {
        await store.remove(keys);
        throw new Error("gone");
      },
    };
    await expect(removeUploads({ ...world.ports, store: dying })).rejects.toThrow("gone");
    expect([await objects(), await rows()]).toEqual([[], 1]);
    expect(await removeUploads(world.ports)).toBeNull();
    expect(await rows()).toBe(0);
  });

  it("is refused by every model, since all make video from text alone, and nothing is charged", async () => {
    const tenant = await newTenant();
    const { id } = await newUpload(tenant);
    const before = await everything();
    for (const image of [id, ABSENT]) {
      const body = { model: DEMO, prompt: "a red ball", image };
      for (const path of ["/v1/clips", "/v1/clips/estimate"]) {
        const answer = await call("POST", path, { token: tenant.key, body });
        expect(await expectProblem(answer, "input_not_allowed", "/image")).toContain(DEMO);
      }
    }
    const body = { model: DEMO, prompt: "a red ball", image: "cat.png" };
    await expectProblem(await call("POST", "/v1/clips", { token: tenant.key, body }), "invalid_request", "/image");
    expect(await everything()).toEqual(before);
  });
});
