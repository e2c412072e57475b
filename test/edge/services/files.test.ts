import { beforeEach, describe, expect, it } from "vitest";
import { signDownload, verifyDownload } from "../../../edge/services/files/link.ts";
import { matchesEtag, parseRange } from "../../../edge/services/files/range.ts";
import { signUpload } from "../../../edge/services/leases/upload.ts";
import type { SigningKeys } from "../../../edge/services/ports.ts";
import type { ClipId } from "../../../shared/ids.ts";
import { freshDeployment, World } from "../support/world.ts";

const CLIP = "clip_01j9z3k4m5n6p7q8r9s0t1v2w3" as ClipId;

describe("a byte range", () => {
  const part = (offset: number, length: number) => ({ kind: "part", offset, length });
  it.each([
    [undefined, { kind: "whole" }],
    ["bytes=0-3", part(0, 4)],
    ["bytes=4-", part(4, 6)],
    ["bytes=0-", part(0, 10)],
    ["bytes=9-9", part(9, 1)],
    ["bytes=0-999", part(0, 10)],
    ["bytes=-3", part(7, 3)],
    ["bytes=-999", part(0, 10)],
    ["Bytes=2-3", part(2, 2)],
    ["bytes=-0", { kind: "unsatisfiable" }],
    ["bytes=10-", { kind: "unsatisfiable" }],
    ["bytes=10-20", { kind: "unsatisfiable" }],
    ["bytes=5-4", { kind: "whole" }],
    ["bytes=-", { kind: "whole" }],
    ["bytes=0-1,3-4", { kind: "whole" }],
    ["bytes=a-b", { kind: "whole" }],
    ["items=0-1", { kind: "whole" }],
  ])("%j of 10 bytes", (header, expected) => {
    expect(parseRange(header, 10)).toEqual(expected);
  });

  it("of an empty file is never satisfiable", () => {
    expect(parseRange("bytes=0-", 0)).toEqual({ kind: "unsatisfiable" });
    expect(parseRange("bytes=-5", 0)).toEqual({ kind: "unsatisfiable" });
  });
});

describe("If-None-Match", () => {
  it.each([
    ['"a"', true],
    ['W/"a"', true],
    ['"b", "a"', true],
    ["*", true],
    ['"b"', false],
    [undefined, false],
  ])("%j against the tag a: %s", (header, expected) => {
    expect(matchesEtag(header, '"a"')).toBe(expected);
  });
});

describe("a signed download URL", () => {
  const target = { clipId: CLIP, attempt: 2, kind: "mp4" } as const;

  async function signed(world: World) {
    const url = await signDownload(world.ports, { ...target, expiresAtMs: world.nowMs + 3_600_000 });
    const query = new URL(url).searchParams;
    const link = { ...target, expires: Number(query.get("expires")), kid: query.get("kid") ?? "" };
    return { url, link: { ...link, sig: query.get("sig") ?? "" } };
  }

  it("is on our public origin and is good until it expires", async () => {
    const world = new World();
    const { url, link } = await signed(world);
    expect(url.startsWith(`https://clips.test/v1/files/${CLIP}/mp4?attempt=2&expires=`)).toBe(true);
    world.advance(3_600_000 - 1);
    await verifyDownload(world.ports, link);
    world.advance(1);
    await expect(verifyDownload(world.ports, link)).rejects.toMatchObject({ code: "expired" });
  });

  it("is refused when any part of it is changed, expired or not", async () => {
    const world = new World();
    const { link } = await signed(world);
    const other = "clip_01j9z3k4m5n6p7q8r9s0t1v2w4" as ClipId;
    const changes = [
      { clipId: other },
      { attempt: 1 },
      { kind: "poster" },
      { expires: link.expires + 1 },
      { kid: "k1" },
      { kid: "unknown" },
      { sig: "" },
      { sig: link.sig.slice(0, -1) },
      { sig: `${link.sig.startsWith("A") ? "B" : "A"}${link.sig.slice(1)}` },
    ] as const;
    for (const change of changes) {
      const refusal = { code: "unauthenticated" };
      await expect(verifyDownload(world.ports, { ...link, ...change }), JSON.stringify(change)).rejects.toMatchObject(
        refusal,
      );
    }
  });

  it("outlives the rotation of its key, until that key is dropped", async () => {
    const world = new World();
    const { link } = await signed(world);
    const [old] = world.ports.signingKeys;
    const fresh = { id: "k3", secret: new Uint8Array(32).fill(3) };
    const rotated: SigningKeys = [fresh, old];
    await verifyDownload({ ...world.ports, signingKeys: rotated }, link);
    expect((await signed(new World({ signingKeys: rotated }))).link.kid).toBe("k3");
    const dropped = verifyDownload({ ...world.ports, signingKeys: [fresh] }, link);
    await expect(dropped).rejects.toMatchObject({ code: "unauthenticated" });
  });
});

describe("a signed upload URL", () => {
  beforeEach(freshDeployment);

  it("signs size, type, MD5 and if-none-match into a key that holds clip and attempt", async () => {
    const world = new World();
    await world.order(await world.account());
    const { claim, ref } = await world.start(await world.runner());
    const md5 = "1B2M2Y8AsgTpgAmY7PhCfg==";
    const reply = await signUpload(world.ports, ref, { kind: "mp4", bytes: 123, md5, type: "video/mp4" });
    expect(reply.headers).toEqual({
      "content-length": "123",
      "content-type": "video/mp4",
      "content-md5": md5,
      "if-none-match": "*",
    });
    const url = new URL(reply.url);
    expect(`${url.origin}${url.pathname}`).toBe(`https://s3.test/turboclip-clips/clips/${claim.clip_id}/1/clip.mp4`);
    expect(Object.fromEntries(url.searchParams)).toMatchObject({
      "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
      "X-Amz-Date": "20261123T120000Z",
      "X-Amz-Expires": "600",
      "X-Amz-SignedHeaders": "content-length;content-md5;content-type;host;if-none-match",
      "X-Amz-Signature": expect.stringMatching(/^[0-9a-f]{64}$/),
    });
  });
});
