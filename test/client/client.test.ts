import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { TurboclipClient, TurboclipError } from "../../client/index.ts";
import type { Clip } from "../../shared/contract/clips.ts";

type Answer = (request: IncomingMessage, response: ServerResponse, body: string) => void;

let server: Server;
let client: TurboclipClient;
let folder: string;
/** One answer a request, in order; the last one stays. */
let answers: Answer[];
let requests: { method: string; url: string; headers: IncomingMessage["headers"]; body: string }[];

beforeEach(async () => {
  answers = [];
  requests = [];
  folder = await mkdtemp(join(tmpdir(), "turboclip-client-"));
  server = createServer((request, response) => void serveNext(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  client = new TurboclipClient({ origin: origin(), apiKey: "tc_live_key", retryDelayMs: 1, timeoutMs: 5_000 });
});
afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await rm(folder, { recursive: true, force: true });
});

async function serveNext(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let body = "";
  for await (const chunk of request) body += chunk;
  requests.push({ method: request.method ?? "", url: request.url ?? "", headers: request.headers, body });
  const answer = answers.length > 1 ? answers.shift() : answers[0];
  answer?.(request, response, body);
}

function origin(): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const CLIP: Clip = {
  id: "clip_01j9z3k4m5n6p7q8r9s0t1v2w3" as Clip["id"],
  object: "clip",
  state: "queued",
  model: "turboclip-demo",
  prompt: "waves",
  size: "256x192",
  frames: 33,
  frames_per_second: 16,
  steps: 4,
  sampler: "sde",
  seed: 7,
  price_micros: 408,
  charged_micros: 0,
  attempt: 0,
  progress: null,
  timings: null,
  engine: null,
  model_version: null,
  error: null,
  output: null,
  metadata: {},
  created_at: "2026-01-01T00:00:00.000Z",
  expires_at: null,
  priority: "normal",
  queue: null,
  started_at: null,
  finished_at: null,
};

const json =
  (body: object, status = 200, headers: Record<string, string> = {}): Answer =>
  (_, response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify(body));
  };
const hangUp: Answer = (request) => request.socket.destroy();
const problem = (status: number, code: string, retryable: boolean, headers: Record<string, string> = {}): Answer =>
  json(
    {
      type: "about:blank",
      title: "T",
      detail: `about ${code}`,
      status,
      code,
      retryable,
      request_id: "req_1",
      pointer: "/prompt",
    },
    status,
    headers,
  );

describe("creating a clip", () => {
  test("posts the order with the key and a fresh idempotency key", async () => {
    answers = [json(CLIP, 201)];
    const clip = await client.createClip({ model: "turboclip-demo", prompt: "waves" });
    expect(clip.price_micros).toBe(408);
    expect(requests[0]).toMatchObject({
      method: "POST",
      url: "/v1/clips",
      headers: { authorization: "Bearer tc_live_key" },
    });
    expect(JSON.parse(requests[0]?.body ?? "")).toEqual({ model: "turboclip-demo", prompt: "waves" });
    expect(requests[0]?.headers["idempotency-key"]).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("after a lost answer asks again with the same idempotency key", async () => {
    answers = [hangUp, problem(503, "no_capacity", true), json(CLIP)];
    await client.createClip({ model: "turboclip-demo", prompt: "waves" });
    const keys = new Set(requests.map((request) => request.headers["idempotency-key"]));
    expect([requests.length, keys.size]).toEqual([3, 1]);
  });

  test("uses the caller's idempotency key", async () => {
    answers = [json(CLIP)];
    await client.createClip({ model: "turboclip-demo", prompt: "waves" }, { idempotencyKey: "order-1" });
    expect(requests[0]?.headers["idempotency-key"]).toBe("order-1");
  });
});

describe("several clips", () => {
  test("are ordered by one request with one idempotency key, also when its answer was lost", async () => {
    answers = [hangUp, json({ object: "list", data: [CLIP, CLIP] }, 202)];
    const clips = await client.createClips({ model: "turboclip-demo", prompt: "waves", n: 2 });
    expect(clips).toEqual([CLIP, CLIP]);
    expect(JSON.parse(requests[1]?.body ?? "")).toEqual({ model: "turboclip-demo", prompt: "waves", n: 2 });
    expect(new Set(requests.map((request) => request.headers["idempotency-key"])).size).toBe(1);
  });

  test("can be estimated first", async () => {
    const estimate = {
      ...{ object: "estimate", model: "turboclip-demo", size: "256x192", frames: 33, n: 2 },
      ...{ price_micros: 408, total_price_micros: 816, queue: { position: 1, expected_wait_s: 2.5 }, refusal: null },
    };
    answers = [json(estimate)];
    expect(await client.estimateClip({ model: "turboclip-demo", prompt: "waves", n: 2 })).toEqual(estimate);
    expect(requests[0]).toMatchObject({ method: "POST", url: "/v1/clips/estimate" });
  });
});

describe("a picture", () => {
  const picture = Uint8Array.of(1, 2, 3);
  const upload = (put: boolean) => ({
    ...{ id: "upl_01j9z3k4m5n6p7q8r9s0t1v2w3", object: "upload", state: put ? "pending" : "ready" },
    ...{ content_type: "image/png", bytes: 3, width: put ? null : 80, height: put ? null : 64, rejection: null },
    put: put
      ? {
          url: `${origin()}/bucket/upl?sig=1`,
          headers: { "content-type": "image/png", "if-none-match": "*" },
          expires_at: "2026-01-01T00:10:00.000Z",
        }
      : null,
    ...{ created_at: "2026-01-01T00:00:00.000Z", expires_at: "2026-01-02T00:00:00.000Z" },
  });

  test.each([200, 412])("is signed, put without the key and completed, when the store answers %d", async (status) => {
    answers = [json(upload(true), 201), json({}, status), json(upload(false))];
    expect(await client.uploadPicture(picture, "image/png")).toMatchObject({ state: "ready", width: 80 });
    expect(requests.map(({ method, url }) => `${method} ${url}`)).toEqual([
      "POST /v1/uploads",
      "PUT /bucket/upl?sig=1",
      "POST /v1/uploads/upl_01j9z3k4m5n6p7q8r9s0t1v2w3/complete",
    ]);
    expect(JSON.parse(requests[0]?.body ?? "")).toEqual({ content_type: "image/png", bytes: 3 });
    expect(requests[1]?.body).toBe("\u0001\u0002\u0003");
    expect(requests[1]?.headers).toMatchObject({ "content-type": "image/png", "if-none-match": "*" });
    expect(requests[1]?.headers.authorization).toBeUndefined();
  });

  test("that the store refuses, or that finds no store, is an error that says so", async () => {
    answers = [json(upload(true), 201), json({}, 403)];
    await expect(client.uploadPicture(picture, "image/png")).rejects.toMatchObject({ status: 403, retryable: false });
    answers = [json(upload(true), 201), hangUp];
    await expect(client.uploadPicture(picture, "image/png")).rejects.toMatchObject({ code: "unreachable" });
    const arrived = Promise.withResolvers<void>();
    answers = [json(upload(true), 201), () => arrived.resolve()];
    const stop = new AbortController();
    const given = client.uploadPicture(picture, "image/png", { signal: stop.signal });
    await arrived.promise;
    stop.abort(new Error("enough"));
    await expect(given).rejects.toThrow("enough");
  });
});

describe("an error", () => {
  test("of the API carries its code, detail, pointer and request id, and is not repeated when that cannot help", async () => {
    answers = [problem(402, "insufficient_balance", false)];
    const error = await client.createClip({ model: "m", prompt: "p" }).catch((reason) => reason);
    expect(error).toBeInstanceOf(TurboclipError);
    expect(error).toMatchObject({
      code: "insufficient_balance",
      status: 402,
      retryable: false,
      message: "about insufficient_balance",
    });
    expect(error.problem).toMatchObject({ request_id: "req_1", pointer: "/prompt" });
    expect(requests).toHaveLength(1);
  });

  test("that may pass is repeated a few times, then thrown", async () => {
    answers = [problem(500, "internal", true)];
    await expect(client.getClip(CLIP.id)).rejects.toMatchObject({ code: "internal" });
    expect(requests).toHaveLength(5);
  });

  test("429 is repeated only when the API says for how long to wait, and that is short", async () => {
    answers = [problem(429, "rate_limited", true, { "retry-after": "0" }), json(CLIP)];
    await client.getClip(CLIP.id);
    expect(requests).toHaveLength(2);
    answers = [problem(429, "rate_limited", true, { "retry-after": "3600" })];
    await expect(client.getClip(CLIP.id)).rejects.toMatchObject({ code: "rate_limited", retryAfter: 3_600 });
    expect(requests).toHaveLength(3);
  });

  test("without an answer is `unreachable`", async () => {
    answers = [hangUp];
    await expect(client.getBalance()).rejects.toMatchObject({
      code: "unreachable",
      retryable: true,
      status: undefined,
    });
  });

  test("page of a proxy is `unexpected_answer`, with its status", async () => {
    answers = [(_, response) => response.writeHead(404).end("<html>not here</html>")];
    await expect(client.getClip(CLIP.id)).rejects.toMatchObject({
      code: "unexpected_answer",
      status: 404,
      retryable: false,
    });
    expect(requests).toHaveLength(1);
  });

  test("in the answer's form is told by the member that is wrong", async () => {
    answers = [json({ ...CLIP, frames: "many" })];
    await expect(client.getClip(CLIP.id)).rejects.toThrow(/GET \/v1\/clips\/clip_.*frames/s);
  });

  test("that the caller makes by aborting is the caller's", async () => {
    answers = [() => {}]; // never answers
    const stop = new AbortController();
    const waiting = client.getClip(CLIP.id, { signal: stop.signal });
    stop.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
  });
});

describe("listing clips", () => {
  test("asks for what is wanted and fetches the next page only when it is needed", async () => {
    const asked: string[] = [];
    const page =
      (data: readonly Clip[], next: string | null): Answer =>
      (request, response, body) => {
        asked.push(request.url ?? "");
        json({ data, next })(request, response, body);
      };
    answers = [page([CLIP, CLIP], CLIP.id), page([], CLIP.id), page([CLIP], null)];
    const listed = client.listClips({
      ...{ state: "succeeded", model: "turboclip-demo", createdFrom: new Date(0), createdUntil: new Date(1) },
      ...{ metadata: { order: "4=2" }, pageSize: 2 },
    });
    await listed.next();
    await listed.next();
    const query =
      "/v1/clips?state=succeeded&model=turboclip-demo&created_from=1970-01-01T00%3A00%3A00.000Z" +
      "&created_until=1970-01-01T00%3A00%3A00.001Z&limit=2&metadata=order%3D4%3D2";
    expect(asked).toEqual([query]);
    expect((await listed.next()).value).toEqual(CLIP);
    expect(asked.slice(1)).toEqual([`${query}&after=${CLIP.id}`, `${query}&after=${CLIP.id}`]);
    expect((await listed.next()).done).toBe(true);
  });
});

describe("waiting for a clip", () => {
  const running = { ...CLIP, state: "running", progress: { stage: "denoise", step: 1, steps: 4 } };

  test("tells each change once and returns the end", async () => {
    answers = [json(CLIP), json(CLIP), json(running), json(running), json({ ...CLIP, state: "succeeded" })];
    const seen: string[] = [];
    const clip = await client.waitForClip(CLIP.id, { intervalMs: 1, onProgress: ({ state }) => seen.push(state) });
    expect(clip.state).toBe("succeeded");
    expect(seen).toEqual(["queued", "running", "succeeded"]);
  });

  test.each(["failed", "cancelled", "expired"])("returns a clip that %s", async (state) => {
    answers = [json({ ...CLIP, state })];
    expect((await client.waitForClip(CLIP.id)).state).toBe(state);
  });

  test("ends when the caller's signal aborts", async () => {
    answers = [json(running)];
    const stop = new AbortController();
    const waiting = client.waitForClip(CLIP.id, {
      signal: stop.signal,
      intervalMs: 60_000,
      onProgress: () => stop.abort(),
    });
    await expect(waiting).rejects.toThrow("aborted");
  });
});

test("cancelling posts to the clip and returns it", async () => {
  answers = [json({ ...CLIP, state: "cancelled" })];
  expect((await client.cancelClip(CLIP.id)).state).toBe("cancelled");
  expect(requests[0]).toMatchObject({ method: "POST", url: `/v1/clips/${CLIP.id}/cancel` });
});

test("deleting asks for no answer, and is repeated until it is there", async () => {
  answers = [hangUp, (_, response) => response.writeHead(204).end()];
  expect(await client.deleteClip(CLIP.id)).toBeUndefined();
  expect(requests[1]).toMatchObject({ method: "DELETE", url: `/v1/clips/${CLIP.id}` });
});

test("every call names the dated version that the client is written for", async () => {
  answers = [json(CLIP)];
  await client.getClip(CLIP.id);
  expect(requests[0]?.headers["turboclip-version"]).toBe("2026-11-01");
});

describe("a download", () => {
  const file = randomBytes(300_000);
  const ETAG = '"abc"';

  /** Serves the file with Range, and hangs up after `limit` bytes. */
  const serve =
    (limit = file.length, etag = ETAG): Answer =>
    (request, response) => {
      const from =
        request.headers["if-range"] === etag ? Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0) : 0;
      const range = from > 0 ? { "content-range": `bytes ${from}-${file.length - 1}/${file.length}` } : {};
      response.writeHead(from > 0 ? 206 : 200, { etag, "content-length": file.length - from, ...range });
      response.write(file.subarray(from, Math.min(file.length, from + limit)), () => {
        if (from + limit < file.length) request.socket.destroy();
        else response.end();
      });
    };
  const target = () => join(folder, "clip.mp4");
  const fetchIt = (options = {}) => client.download(`${origin()}/signed`, target(), { retryDelayMs: 1, ...options });

  test("writes the file whole, without sending the key to where the URL points", async () => {
    answers = [serve()];
    expect(await fetchIt()).toBe(file.length);
    expect((await readFile(target())).equals(file)).toBe(true);
    expect(requests[0]?.headers.authorization).toBeUndefined();
    expect(await readdir(folder)).toEqual(["clip.mp4"]);
  });

  test("that breaks off is resumed where it stopped", async () => {
    answers = [serve(100_000), serve(150_000), serve()];
    expect(await fetchIt()).toBe(file.length);
    expect((await readFile(target())).equals(file)).toBe(true);
    expect(requests).toHaveLength(3);
    expect(requests[1]?.headers).toMatchObject({ range: expect.stringMatching(/^bytes=[1-9]\d*-$/), "if-range": ETAG });
  });

  test("whose file was replaced meanwhile begins again", async () => {
    answers = [serve(100_000, '"old"'), serve(file.length, '"new"')];
    expect(await fetchIt()).toBe(file.length);
    expect((await readFile(target())).equals(file)).toBe(true);
  });

  test("that never gets through fails and leaves nothing behind", async () => {
    answers = [serve(10)];
    await expect(fetchIt({ resumes: 2 })).rejects.toMatchObject({ code: "unreachable" });
    expect(requests).toHaveLength(3);
    expect(await readdir(folder)).toEqual([]);
  });

  test("of an expired URL says so at once", async () => {
    answers = [problem(410, "expired", false)];
    await expect(fetchIt()).rejects.toMatchObject({ code: "expired", status: 410 });
    expect(requests).toHaveLength(1);
  });

  test("larger than the limit is refused before it fills the disk", async () => {
    answers = [serve()];
    await expect(fetchIt({ maxBytes: 1_000 })).rejects.toThrow("over the limit of 1000");
    expect(await readdir(folder)).toEqual([]);
  });
});
