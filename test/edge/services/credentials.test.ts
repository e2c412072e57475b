import { beforeEach, describe, expect, it } from "vitest";
import { base62, crc32, equalInConstantTime } from "../../../edge/services/encoding.ts";
import { issueKey } from "../../../edge/services/keys/issue.ts";
import { revokeKey } from "../../../edge/services/keys/revoke.ts";
import { verifyKey } from "../../../edge/services/keys/verify.ts";
import { registerRunner } from "../../../edge/services/runners/register.ts";
import { verifyRunner } from "../../../edge/services/runners/verify.ts";
import { env } from "../support/env.ts";
import { freshDeployment, World } from "../support/world.ts";

beforeEach(freshDeployment);

describe("encodings", () => {
  it("computes the CRC-32 of its published check value", () => {
    expect(crc32("123456789")).toBe("cbf43926");
  });

  it("writes 32 bytes in 43 base-62 digits, whatever they are", () => {
    expect(base62(new Uint8Array(32))).toBe("0".repeat(43));
    expect(base62(new Uint8Array(32).fill(255))).toMatch(/^[0-9A-Za-z]{43}$/);
    expect(base62(Uint8Array.of(61))).toBe("0z");
    expect(base62(Uint8Array.of(62))).toBe("10");
  });

  it("compares texts of one length by every character", () => {
    expect(equalInConstantTime("abc", "abc")).toBe(true);
    expect(equalInConstantTime("abc", "abd")).toBe(false);
    expect(equalInConstantTime("abc", "ab")).toBe(false);
  });
});

describe("an API key", () => {
  it("has the documented shape, opens its account, and is stored only as a hash", async () => {
    const world = new World();
    const account = await world.account();
    const issued = await issueKey(world.ports, account, { name: "ci", expiresAtMs: null, dailyCapMicros: null });
    expect(issued.key).toMatch(/^tc_live_[0-7][0-9a-z]{25}_[0-9A-Za-z]{43}_[0-9a-f]{8}$/);
    expect(issued.key.startsWith(`${issued.shownPrefix}_`)).toBe(true);
    expect(await verifyKey(world.ports, issued.key)).toEqual({ accountId: account, keyId: issued.id });
    const row = JSON.stringify(await env.DB.prepare("select * from api_keys where id = ?").bind(issued.id).first());
    const secret = issued.key.split("_")[3] ?? "";
    expect(row).not.toContain(secret);
    expect(row).toContain(issued.shownPrefix);
  });

  it("is unauthenticated when mistyped, forged or of another kind", async () => {
    const world = new World();
    const account = await world.account();
    const { key } = await issueKey(world.ports, account, { name: "ci", expiresAtMs: null, dailyCapMicros: null });
    const body = key.slice(0, -9);
    const forged = `${body.slice(0, -1)}${body.endsWith("0") ? "1" : "0"}`;
    const { token } = await registerRunner(world.ports, "a runner");
    for (const wrong of ["", "tc_live_", key.slice(0, -1), key.toUpperCase(), `${forged}_${crc32(forged)}`, token]) {
      await expect(verifyKey(world.ports, wrong)).rejects.toMatchObject({ code: "unauthenticated" });
    }
  });

  it("is refused as key_revoked from the moment it is revoked, and stays revoked since then", async () => {
    const world = new World();
    const { id, key } = await issueKey(world.ports, await world.account(), {
      name: "ci",
      expiresAtMs: null,
      dailyCapMicros: null,
    });
    await revokeKey(world.ports, id);
    const revokedAt = world.nowMs;
    await expect(verifyKey(world.ports, key)).rejects.toMatchObject({ code: "key_revoked" });
    world.advance(1_000);
    await revokeKey(world.ports, id);
    const row = await env.DB.prepare("select revoked_at_ms as at from api_keys where id = ?").bind(id).first();
    expect(row?.at).toBe(revokedAt);
  });

  it("is refused as key_expired from its expiry on", async () => {
    const world = new World();
    const wanted = { name: "ci", expiresAtMs: world.nowMs + 1_000, dailyCapMicros: null };
    const { key } = await issueKey(world.ports, await world.account(), wanted);
    world.advance(999);
    await verifyKey(world.ports, key);
    world.advance(1);
    await expect(verifyKey(world.ports, key)).rejects.toMatchObject({ code: "key_expired" });
  });
});

describe("a runner token", () => {
  it("names its runner, and nothing else does", async () => {
    const world = new World();
    const { id, token } = await registerRunner(world.ports, "a runner");
    expect(token).toMatch(/^tcr_[0-7][0-9a-z]{25}_[0-9A-Za-z]{43}_[0-9a-f]{8}$/);
    expect(await verifyRunner(world.ports, token)).toEqual({ id, drained: false });
    const key = await world.key(await world.account());
    for (const wrong of [key, token.slice(0, -1), `${token}0`]) {
      await expect(verifyRunner(world.ports, wrong)).rejects.toMatchObject({ code: "unauthenticated" });
    }
  });
});
