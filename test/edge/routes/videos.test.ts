// /v1/videos by the official client of OpenAI, unmodified, and by hand where that client cannot send what is refused.
import { exports } from "cloudflare:workers";
import OpenAI, { toFile } from "openai";
import { beforeEach, describe, expect, it } from "vitest";
import { sweep } from "../../../edge/services/sweep.ts";
import { createVideoSchema, videoPageSchema, videoSchema } from "../../../shared/contract/videos.ts";
import { env } from "../support/env.ts";
import { call, expectProblem, expectVideoError, ORIGIN } from "../support/http.ts";
import { everything, expectInvariants } from "../support/invariants.ts";
import { admin, claimOne, newRunner, newTenant, type Tenant } from "../support/tenant.ts";
import { completion, DEMO, FILES, freshDeployment, LOADING, World } from "../support/world.ts";

beforeEach(freshDeployment);

/** ceil(1000 * 65 / 81). */
const VIDEO_PRICE = 803;
const ABSENT = "clip_01j9z3k4m5n6p7q8r9s0t1v2w3";
const ORDER = { model: DEMO, prompt: "a red ball", seconds: "4" } as const;

function clientOf({ key }: Pick<Tenant, "key">): OpenAI {
  const send = async (input: string | URL | Request, init?: RequestInit) =>
    await exports.default.fetch(new Request(input, init));
  return new OpenAI({ apiKey: key, baseURL: `${ORIGIN}/v1`, fetch: send });
}

async function post(
  tenant: Pick<Tenant, "key">,
  fields: Record<string, string | Blob>,
  headers = {},
): Promise<Response> {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  const init = { method: "POST", body: form, headers: { authorization: `Bearer ${tenant.key}`, ...headers } };
  return await exports.default.fetch(new Request(`${ORIGIN}/v1/videos`, init));
}

async function finish(tenant: Tenant): Promise<string> {
  const { id } = await clientOf(tenant).videos.create(ORDER);
  const runner = await newRunner();
  const { lease_token: token } = await claimOne(runner);
  const attempt = `/runner/v1/attempts/${token}`;
  await call("POST", `${attempt}/heartbeat`, { token: runner.token, body: LOADING });
  await env.BUCKET.put(`clips/${id}/1/clip.mp4`, FILES.mp4);
  await env.BUCKET.put(`clips/${id}/1/poster.jpg`, FILES.poster);
  await call("POST", `${attempt}/complete`, { token: runner.token, body: await completion() });
  return id;
}

async function textOf(answer: Response): Promise<string> {
  return new TextDecoder().decode(await answer.arrayBuffer());
}

describe("OpenAI's client", () => {
  it("creates a video of 4 seconds, which is a clip of 65 frames, held once", async () => {
    const tenant = await newTenant();
    const video = await clientOf(tenant).videos.create(ORDER);
    expect(videoSchema.strict().parse({ ...video })).toMatchObject({
      ...{ object: "video", status: "queued", progress: 0, seconds: "4", size: "256x192", model: DEMO },
      ...{ prompt: "a red ball", error: null, completed_at: null, expires_at: null },
    });
    const clip = await (await call("GET", `/v1/clips/${video.id}`, { token: tenant.key })).json();
    expect(clip).toMatchObject({ frames: 65, price_micros: VIDEO_PRICE, state: "queued" });
    await expectInvariants();
  });

  it("follows it through in_progress to completed and downloads it", async () => {
    const tenant = await newTenant();
    const client = clientOf(tenant);
    const { id } = await client.videos.create({ model: DEMO, prompt: "a red ball" });
    const runner = await newRunner();
    const { lease_token: token } = await claimOne(runner);
    const attempt = `/runner/v1/attempts/${token}`;
    const seen: [string, number][] = [];
    for (const body of [LOADING, { stage: "denoise", step: 2, steps: 4 }, { stage: "upload", step: 1, steps: 1 }]) {
      await call("POST", `${attempt}/heartbeat`, { token: runner.token, body });
      const { status, progress } = await client.videos.retrieve(id);
      seen.push([status, progress]);
    }
    expect(seen).toEqual([
      ["in_progress", 0],
      ["in_progress", 45],
      ["in_progress", 99],
    ]);
    await env.BUCKET.put(`clips/${id}/1/clip.mp4`, FILES.mp4);
    await env.BUCKET.put(`clips/${id}/1/poster.jpg`, FILES.poster);
    await call("POST", `${attempt}/complete`, { token: runner.token, body: await completion() });
    const video = await client.videos.retrieve(id);
    expect(video).toMatchObject({ status: "completed", progress: 100, error: null });
    expect((video.expires_at ?? 0) - (video.completed_at ?? 0)).toBe(7 * 24 * 3_600);
    const content = await client.videos.downloadContent(id);
    expect(content.headers.get("content-type")).toBe("video/mp4");
    expect(await textOf(content)).toBe("clip");
    const thumbnail = await client.videos.downloadContent(id, { variant: "thumbnail" });
    expect([thumbnail.headers.get("content-type"), await textOf(thumbnail)]).toEqual(["image/jpeg", "jpg"]);
    await expectInvariants();
  });

  it("sees a clip that was cancelled, failed or expired as failed, with the reason", async () => {
    const tenant = await newTenant();
    const client = clientOf(tenant);
    const cancelled = await client.videos.create(ORDER);
    await call("POST", `/v1/clips/${cancelled.id}/cancel`, { token: tenant.key });
    expect(await client.videos.retrieve(cancelled.id)).toMatchObject({
      status: "failed",
      error: { code: "cancelled" },
    });
    const failed = await client.videos.create(ORDER);
    const runner = await newRunner();
    const { lease_token: token } = await claimOne(runner);
    const body = { code: "nan_output", message: "not a number", retryable: false };
    await call("POST", `/runner/v1/attempts/${token}/fail`, { token: runner.token, body });
    expect(await client.videos.retrieve(failed.id)).toMatchObject({
      ...{
        status: "failed",
        progress: 0,
        completed_at: null,
        error: { code: "engine_failed", message: "not a number" },
      },
    });
    const expired = await client.videos.create(ORDER);
    const world = new World();
    world.nowMs = Date.now() + world.ports.times.queuedMs;
    await sweep(world.ports);
    expect(await client.videos.retrieve(expired.id)).toMatchObject({ status: "failed", error: { code: "expired" } });
  });

  it("pages through all clips of the account, newest or oldest first", async () => {
    const tenant = await newTenant();
    const client = clientOf(tenant);
    await clientOf(await newTenant()).videos.create(ORDER);
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) ids.push((await client.videos.create(ORDER)).id);
    const clip = await call("POST", "/v1/clips", { token: tenant.key, body: { model: DEMO, prompt: "p", frames: 5 } });
    ids.push(((await clip.json()) as { id: string }).id);
    for (const order of ["asc", "desc"] as const) {
      const paged: string[] = [];
      for await (const video of client.videos.list({ limit: 2, order })) paged.push(video.id);
      const wanted = ids.toSorted();
      expect(paged).toEqual(order === "asc" ? wanted : wanted.toReversed());
    }
    const page = await client.videos.list({ limit: 6 });
    expect([page.has_more, page.last_id, page.data.length]).toEqual([false, ids.toSorted()[0], 6]);
    expect(page.data.find(({ id }) => id === ids[5])?.seconds).toBe("0.25");
    const empty = await call("GET", "/v1/videos", { token: (await newTenant()).key });
    expect(videoPageSchema.strict().parse(await empty.json())).toEqual({
      ...{ object: "list", data: [], first_id: null, last_id: null, has_more: false },
    });
  });

  it("gets the first video again for the same Idempotency-Key, and shares the key with POST /v1/clips", async () => {
    const tenant = await newTenant();
    const client = clientOf(tenant);
    const headers = { "Idempotency-Key": "k-1" };
    const first = await client.videos.create(ORDER, { headers });
    const { data: again, response } = await client.videos.create(ORDER, { headers }).withResponse();
    expect(again).toEqual(first);
    expect(response.headers.get("idempotent-replayed")).toBe("true");
    const body = { model: DEMO, prompt: "a red ball", frames: 65 };
    const clip = await call("POST", "/v1/clips", { token: tenant.key, body, headers });
    expect(((await clip.json()) as { id: string }).id).toBe(first.id);
    const other = client.videos.create({ ...ORDER, prompt: "a blue ball" }, { headers });
    await expect(other).rejects.toMatchObject({ status: 422, code: "idempotency_mismatch" });
    await expectInvariants();
  });

  it("deletes a video that has ended, and it is gone for both of our APIs", async () => {
    const tenant = await newTenant();
    const client = clientOf(tenant);
    const id = await finish(tenant);
    const stranger = clientOf(await newTenant());
    await expect(stranger.videos.delete(id)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    expect(await client.videos.delete(id)).toEqual({ id, object: "video.deleted", deleted: true });
    await expect(client.videos.retrieve(id)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    await expect(client.videos.downloadContent(id)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    expect((await client.videos.list()).data).toEqual([]);
    await expectProblem(await call("GET", `/v1/clips/${id}`, { token: tenant.key }), "not_found");
    expect((await env.BUCKET.list()).objects).toEqual([]);
    await expectInvariants();
  });

  it("is told that a video at work must be cancelled before it is deleted", async () => {
    const client = clientOf(await newTenant());
    const { id } = await client.videos.create(ORDER);
    const refused = client.videos.delete(id);
    await expect(refused).rejects.toMatchObject({ status: 409, code: "not_deletable", message: /cancel/ });
    expect((await client.videos.retrieve(id)).status).toBe("queued");
  });

  it("reads our refusals as its own errors, and does not repeat what cannot help", async () => {
    const poor = clientOf(await newTenant(VIDEO_PRICE - 1));
    await expect(poor.videos.create(ORDER)).rejects.toMatchObject({
      ...{ status: 402, code: "insufficient_balance", type: "insufficient_quota" },
      requestID: expect.stringMatching(/^req_/),
    });
    await expect(clientOf({ key: "nonsense" }).videos.create(ORDER)).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
    await expect(poor.videos.retrieve(ABSENT)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    const unknown = poor.videos.create({ ...ORDER, model: "sora-2" });
    await expect(unknown).rejects.toMatchObject({ status: 400, code: "model_unknown", param: "model" });
  });

  it("is told plainly that no model takes a picture", async () => {
    const client = clientOf(await newTenant());
    const file = await toFile(Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0xff), "cat.png", { type: "image/png" });
    for (const reference of [file, { image_url: "https://example.com/cat.png" }, { file_id: "file_1" }]) {
      const refused = client.videos.create({ ...ORDER, input_reference: reference });
      await expect(refused).rejects.toMatchObject({ status: 400, message: expect.stringContaining("picture") });
    }
  });
});

describe("POST /v1/videos", () => {
  it.each([
    ["invalid_request", { ...ORDER, seconds: "8" }, "seconds", "65 frames"],
    ["invalid_request", { ...ORDER, seconds: "12" }, "seconds", "POST /v1/clips"],
    ["invalid_request", { ...ORDER, seconds: "5" }, "seconds", '"4"'],
    ["size_not_allowed", { ...ORDER, size: "1280x720" }, "size", "256x192"],
    ["invalid_request", { ...ORDER, size: "big" }, "size", "<width>x<height>"],
    ["prompt_empty", { ...ORDER, prompt: " " }, "prompt", "Say"],
    ["prompt_too_long", { ...ORDER, prompt: "x".repeat(4_001) }, "prompt", "4000"],
    ["model_unknown", { ...ORDER, model: "sora-2" }, "model", DEMO],
    ["invalid_request", { prompt: "a red ball" }, "model", "is required"],
    ["invalid_request", { model: DEMO }, "prompt", "is required"],
    ["invalid_request", { ...ORDER, quality: "hd" }, "quality", "quality"],
  ] as const)("answers %s for %j, and nothing is charged", async (code, fields, param, words) => {
    const tenant = await newTenant();
    const before = await everything();
    expect(await expectVideoError(await post(tenant, fields), code, param)).toContain(words);
    expect(await everything()).toEqual(before);
  });

  it("refuses what is no form, no text, too large, or without a valid key", async () => {
    const tenant = await newTenant();
    const asJson = await call("POST", "/v1/videos", { token: tenant.key, body: ORDER });
    expect(await expectVideoError(asJson, "invalid_request")).toContain("multipart/form-data");
    const bare = await call("POST", "/v1/videos", { token: tenant.key });
    await expectVideoError(bare, "invalid_request");
    const headers = { "content-type": "multipart/form-data; boundary=x" };
    await expectVideoError(
      await call("POST", "/v1/videos", { token: tenant.key, body: "--y", headers }),
      "invalid_request",
    );
    const part = (name: string, value: string) =>
      `--x\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
    const text = `${part("model", DEMO)}${part("prompt", "a red \u00e9")}--x--\r\n`;
    const broken = Uint8Array.from(text, (char) => char.charCodeAt(0)); // Latin 1, so no UTF-8
    expect(
      await expectVideoError(
        await call("POST", "/v1/videos", { token: tenant.key, body: broken, headers }),
        "invalid_request",
      ),
    ).toContain("UTF-8");
    const good = new TextEncoder().encode(text);
    expect((await call("POST", "/v1/videos", { token: tenant.key, body: good, headers })).status).toBe(200);
    await expectVideoError(await post(tenant, { ...ORDER, prompt: "x".repeat(70_000) }), "body_too_large");
    await expectVideoError(await post({ key: "nonsense" }, ORDER), "unauthenticated");
    await expectVideoError(
      await post(tenant, ORDER, { "idempotency-key": "with space" }),
      "invalid_request",
      "idempotency-key",
    );
  });

  it("answers the account's limits as /v1/clips does", async () => {
    const tenant = await newTenant();
    await admin("PATCH", `/accounts/${tenant.accountId}`, { daily_cap_micros: VIDEO_PRICE - 1 });
    const capped = await post(tenant, ORDER);
    expect(Number(capped.headers.get("retry-after"))).toBeGreaterThan(0);
    await expectVideoError(capped, "cap_exceeded");
    await admin("PATCH", `/accounts/${tenant.accountId}`, { daily_cap_micros: null, max_in_flight: 1 });
    expect((await post(tenant, ORDER)).status).toBe(200);
    await expectVideoError(await post(tenant, ORDER), "too_many_in_flight");
  });

  it("has the fields of its schema, which says what is refused", () => {
    expect(createVideoSchema.parse({ model: DEMO, prompt: "p" })).toEqual({ model: DEMO, prompt: "p", seconds: "4" });
  });
});

describe("GET /v1/videos/{id} and its content", () => {
  it("answer for a foreign id, an absent one and what is no id in the same bytes", async () => {
    const [owner, stranger] = [await newTenant(), await newTenant()];
    const id = await finish(owner);
    for (const suffix of ["", "/content", "/content?variant=thumbnail"]) {
      const bodies: string[] = [];
      for (const wanted of [id, ABSENT]) {
        const answer = await call("GET", `/v1/videos/${wanted}${suffix}`, { token: stranger.key });
        bodies.push(await answer.clone().text());
        await expectVideoError(answer, "not_found");
      }
      expect(bodies[1]).toBe(bodies[0]);
      await expectVideoError(await call("GET", `/v1/videos/nonsense${suffix}`, { token: stranger.key }), "not_found");
      await expectVideoError(await call("GET", `/v1/videos/${id}${suffix}`), "unauthenticated");
    }
  });

  it("serve ranges, tags and HEAD", async () => {
    const tenant = await newTenant();
    const path = `/v1/videos/${await finish(tenant)}/content`;
    const part = await call("GET", path, { token: tenant.key, headers: { range: "bytes=1-2" } });
    expect([part.status, part.headers.get("content-range"), await textOf(part)]).toEqual([206, "bytes 1-2/4", "li"]);
    const etag = part.headers.get("etag") ?? "";
    const unchanged = await call("GET", path, { token: tenant.key, headers: { "if-none-match": etag } });
    expect([unchanged.status, await textOf(unchanged)]).toEqual([304, ""]);
    const head = await call("HEAD", path, { token: tenant.key });
    expect([head.status, head.headers.get("content-length"), await textOf(head)]).toEqual([200, "4", ""]);
    const beyond = await call("GET", path, { token: tenant.key, headers: { range: "bytes=9-" } });
    expect(beyond.headers.get("content-range")).toBe("bytes */4");
    await expectVideoError(beyond, "range_not_satisfiable");
  });

  it("refuse a variant that is not made, a video that is not completed, and one that is no longer kept", async () => {
    const tenant = await newTenant();
    const { id: waiting } = await clientOf(tenant).videos.create(ORDER);
    const early = await call("GET", `/v1/videos/${waiting}/content`, { token: tenant.key });
    expect(await expectVideoError(early, "not_found")).toContain("queued");
    await call("POST", `/v1/clips/${waiting}/cancel`, { token: tenant.key });
    const path = `/v1/videos/${await finish(tenant)}/content`;
    const sheet = await call("GET", `${path}?variant=spritesheet`, { token: tenant.key });
    expect(await expectVideoError(sheet, "invalid_request", "variant")).toContain("thumbnail");
    await env.DB.prepare("update clips set output_expires_at_ms = 1 where output_expires_at_ms is not null").run();
    await expectVideoError(await call("GET", path, { token: tenant.key }), "expired");
  });

  it("refuse a list's limit, order and cursor that are none", async () => {
    const { key } = await newTenant();
    for (const query of ["limit=0", "limit=101", "order=up", "after=nonsense"]) {
      const [param = ""] = query.split("=");
      await expectVideoError(await call("GET", `/v1/videos?${query}`, { token: key }), "invalid_request", param);
    }
    await expectVideoError(await call("GET", "/v1/videos/x/y/z", { token: key }), "not_found");
  });

  it("answer internal in the same shape, with no word about the inside", async () => {
    const tenant = await newTenant();
    await env.DB.prepare("alter table clips rename to clips_away").run();
    const answer = await call("GET", "/v1/videos", { token: tenant.key });
    expect(await expectVideoError(answer, "internal")).toBe("Something went wrong on our side.");
  });
});
