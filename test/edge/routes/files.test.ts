import { beforeEach, describe, expect, it } from "vitest";
import { clipSchema } from "../../../shared/contract/clips.ts";
import { env } from "../support/env.ts";
import { call, expectProblem } from "../support/http.ts";
import { claimOne, newRunner, newTenant } from "../support/tenant.ts";
import { completion, DEMO, freshDeployment } from "../support/world.ts";

beforeEach(freshDeployment);

/** A finished clip, through the public routes; the bucket's binding stands in for the runner's signed PUT. */
async function finishedClip() {
  const tenant = await newTenant();
  const ordered = await call("POST", "/v1/clips", { token: tenant.key, body: { model: DEMO, prompt: "a red ball" } });
  const { id } = (await ordered.json()) as { id: string };
  const runner = await newRunner();
  const claim = await claimOne(runner);
  await env.BUCKET.put(`clips/${id}/1/clip.mp4`, "clip");
  await env.BUCKET.put(`clips/${id}/1/poster.jpg`, "jpg");
  const path = `/runner/v1/attempts/${claim.lease_token}/complete`;
  const completed = await call("POST", path, { token: runner.token, body: await completion() });
  expect(await completed.json()).toEqual({ state: "succeeded" });
  const { output } = clipSchema.parse(await (await call("GET", `/v1/clips/${id}`, { token: tenant.key })).json());
  if (output === null) throw new Error("a finished clip has an output");
  return { id, mp4: output.mp4.url, poster: output.poster.url };
}

/** The body as text; `.text()` of a video makes workerd warn. */
async function textOf(answer: Response): Promise<string> {
  return new TextDecoder().decode(await answer.arrayBuffer());
}

describe("a download URL", () => {
  it("gives the whole file with its type, length, tag and name, and needs no key", async () => {
    const { id, mp4, poster } = await finishedClip();
    const answer = await call("GET", mp4);
    expect(answer.status).toBe(200);
    expect(await textOf(answer)).toBe("clip");
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      "content-type": "video/mp4",
      "content-length": "4",
      "accept-ranges": "bytes",
      "cache-control": "private, max-age=3600, immutable",
      "content-disposition": `inline; filename="${id}.mp4"`,
      "x-content-type-options": "nosniff",
      etag: expect.stringMatching(/^"[0-9a-f]{32}"$/),
    });
    const picture = await call("GET", poster);
    expect(picture.headers.get("content-type")).toBe("image/jpeg");
    expect(await textOf(picture)).toBe("jpg");
  });

  it("gives a preview where the runner made one, and none where it did not", async () => {
    const tenant = await newTenant();
    const runner = await newRunner();
    const body = await completion();
    const seen: unknown[] = [];
    for (const preview of [undefined, body.outputs.poster]) {
      await call("POST", "/v1/clips", { token: tenant.key, body: { model: DEMO, prompt: "a red ball" } });
      const { clip_id: id, lease_token: token, outputs } = await claimOne(runner);
      expect(outputs).toEqual(["mp4", "poster", "preview"]);
      await env.BUCKET.put(`clips/${id}/1/clip.mp4`, "clip");
      await env.BUCKET.put(`clips/${id}/1/poster.jpg`, "jpg");
      const completed = { ...body, outputs: { ...body.outputs, ...(preview !== undefined && { preview }) } };
      const complete = async () =>
        await call("POST", `/runner/v1/attempts/${token}/complete`, { token: runner.token, body: completed });
      if (preview !== undefined) {
        await expectProblem(await complete(), "upload_missing", "/outputs/preview");
        await env.BUCKET.put(`clips/${id}/1/preview.gif`, "jpg");
      }
      expect((await complete()).status).toBe(200);
      const clip = clipSchema
        .strict()
        .parse(await (await call("GET", `/v1/clips/${id}`, { token: tenant.key })).json());
      seen.push(clip.output?.preview?.content_type ?? null);
      if (preview === undefined) continue;
      const answer = await call("GET", clip.output?.preview?.url ?? "");
      expect(answer.headers.get("content-type")).toBe("image/gif");
      expect(answer.headers.get("content-disposition")).toBe(`inline; filename="${id}.gif"`);
      expect(await textOf(answer)).toBe("jpg");
    }
    expect(seen).toEqual([null, "image/gif"]);
  });

  it("may be read by pages of any origin, as it takes no key, and so may its refusal", async () => {
    const { mp4 } = await finishedClip();
    const headers = { origin: "https://www.example.com", range: "bytes=0-1" };
    const part = await call("GET", mp4, { headers });
    expect([part.status, part.headers.get("access-control-allow-origin")]).toEqual([206, "*"]);
    expect(part.headers.get("access-control-expose-headers")).toContain("content-range");
    expect(await textOf(part)).toBe("cl");
    const refused = await call("GET", mp4.replace(/sig=../, "sig=xx"), { headers });
    expect(refused.headers.get("access-control-allow-origin")).toBe("*");
    await expectProblem(refused, "unauthenticated");
  });

  it("answers HEAD with the same headers and no body, and ignores a Range there", async () => {
    const { mp4 } = await finishedClip();
    const answer = await call("HEAD", mp4, { headers: { range: "bytes=0-1" } });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-length")).toBe("4");
    expect(await textOf(answer)).toBe("");
  });

  it.each([
    ["bytes=1-2", "li", "bytes 1-2/4"],
    ["bytes=2-", "ip", "bytes 2-3/4"],
    ["bytes=-1", "p", "bytes 3-3/4"],
    ["bytes=0-99", "clip", "bytes 0-3/4"],
  ])("answers Range %s with 206 and just these bytes", async (range, body, contentRange) => {
    const { mp4 } = await finishedClip();
    const answer = await call("GET", mp4, { headers: { range } });
    expect(answer.status).toBe(206);
    expect(answer.headers.get("content-range")).toBe(contentRange);
    expect(answer.headers.get("content-length")).toBe(String(body.length));
    expect(await textOf(answer)).toBe(body);
  });

  it("answers a range beyond the end with range_not_satisfiable and the size", async () => {
    const { mp4 } = await finishedClip();
    const answer = await call("GET", mp4, { headers: { range: "bytes=4-" } });
    expect(answer.headers.get("content-range")).toBe("bytes */4");
    await expectProblem(answer, "range_not_satisfiable");
  });

  it("answers 304 to the tag it gave, and takes it for If-Range", async () => {
    const { mp4 } = await finishedClip();
    const whole = await call("GET", mp4);
    const etag = whole.headers.get("etag") ?? "";
    await textOf(whole);
    const unchanged = await call("GET", mp4, { headers: { "if-none-match": etag } });
    expect([unchanged.status, unchanged.headers.get("etag"), await textOf(unchanged)]).toEqual([304, etag, ""]);
    const resumed = await call("GET", mp4, { headers: { range: "bytes=2-", "if-range": etag } });
    expect([resumed.status, await textOf(resumed)]).toEqual([206, "ip"]);
    const changed = await call("GET", mp4, { headers: { range: "bytes=2-", "if-range": '"other"' } });
    expect([changed.status, await textOf(changed)]).toEqual([200, "clip"]);
  });

  it("is refused when any of its parts is changed or missing", async () => {
    const { id, mp4 } = await finishedClip();
    const change = (edit: (url: URL) => void) => {
      const url = new URL(mp4);
      edit(url);
      return url.href;
    };
    const sig = new URL(mp4).searchParams.get("sig") ?? "";
    const tampered = [
      change((url) => url.searchParams.set("attempt", "2")),
      change((url) => url.searchParams.set("expires", "9999999999")),
      change((url) => url.searchParams.set("kid", "k1")),
      change((url) => url.searchParams.set("sig", `${sig.slice(0, -1)}${sig.endsWith("A") ? "B" : "A"}`)),
      change((url) => {
        url.pathname = url.pathname.replace("/mp4", "/poster");
      }),
      change((url) => {
        url.pathname = url.pathname.replace(id, "clip_01j9z3k4m5n6p7q8r9s0t1v2w3");
      }),
    ];
    for (const url of tampered) await expectProblem(await call("GET", url), "unauthenticated");
    for (const name of ["attempt", "expires", "kid", "sig"]) {
      await expectProblem(
        await call(
          "GET",
          change((url) => url.searchParams.delete(name)),
        ),
        "invalid_request",
      );
    }
    await expectProblem(
      await call(
        "GET",
        change((url) => url.searchParams.set("expires", "1e9")),
      ),
      "invalid_request",
    );
    const variant = mp4.replace("/mp4?", "/spritesheet?");
    await expectProblem(await call("GET", variant), "not_found");
  });

  it("is good for no other method", async () => {
    const { mp4 } = await finishedClip();
    for (const method of ["POST", "PUT", "DELETE"]) {
      const answer = await call(method, mp4);
      expect(answer.status).toBe(401);
      await textOf(answer);
    }
    expect(await textOf(await call("GET", mp4))).toBe("clip");
  });

  it("answers expired once the file is no longer kept", async () => {
    const { id, mp4 } = await finishedClip();
    await env.BUCKET.delete(`clips/${id}/1/clip.mp4`);
    await expectProblem(await call("GET", mp4), "expired");
  });
});
