// The endpoint as Discord meets it: signatures to the byte, the ping, and a deployment without an application.
import { beforeEach, expect, it } from "vitest";
import { createApp } from "../../../edge/app.ts";
import { DISCORD_PATH } from "../../../edge/integrations/discord/endpoint.ts";
import { verifyEd25519 } from "../../../edge/integrations/discord/verify.ts";
import { DiscordDouble } from "../../support/discord/double.ts";
import { env } from "../support/env.ts";
import { expectProblem } from "../support/http.ts";
import { freshDeployment } from "../support/world.ts";

const app = createApp();
const PING = JSON.stringify({ type: 1, id: "1", token: "t", version: 1, application_id: "2" });
let discord: DiscordDouble;

beforeEach(async () => {
  await freshDeployment();
  discord = await DiscordDouble.open();
});

async function post(body: string, headers: Record<string, string>, settings?: object): Promise<Response> {
  const own = {
    DISCORD_APPLICATION_ID: discord.applicationId,
    DISCORD_PUBLIC_KEY: discord.publicKey,
    DISCORD_BOT_TOKEN: discord.botToken,
  };
  return await app.request(DISCORD_PATH, { method: "POST", body, headers }, { ...env, ...(settings ?? own) });
}

// RFC 8032, section 7.1, tests 1 to 3.
it.each([
  [
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    [],
  ],
  [
    "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    [0x72],
  ],
  [
    "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    [0xaf, 0x82],
  ],
])("verifies the signature of RFC 8032 under %s, and no other message by it", async (key, signature, message) => {
  expect(await verifyEd25519(key, signature, Uint8Array.from(message))).toBe(true);
  expect(await verifyEd25519(key, signature, Uint8Array.from([...message, 0]))).toBe(false);
  expect(await verifyEd25519(key, signature.slice(2), Uint8Array.from(message))).toBe(false);
});

it("answers a signed ping by a pong", async () => {
  const answer = await discord.deliver(PING, async (headers, body) => await post(body, headers));
  expect(answer).toEqual({ type: 1 });
});

it.each<[string, (headers: Record<string, string>) => Promise<Record<string, string>> | Record<string, string>]>([
  ["no signature", () => ({})],
  ["another's signature", async () => await (await DiscordDouble.open()).sign(PING)],
  ["a signature of another body", async () => await discord.sign(`${PING} `)],
  ["a changed timestamp", (h) => ({ ...h, "x-signature-timestamp": String(Number(h["x-signature-timestamp"]) + 1) })],
  ["a signature that is no hex", (h) => ({ ...h, "x-signature-ed25519": "z".repeat(128) })],
  ["a time six minutes ago", async () => await discord.sign(PING, String(Math.floor(Date.now() / 1_000) - 360))],
  ["a time in six minutes", async () => await discord.sign(PING, String(Math.floor(Date.now() / 1_000) + 360))],
])("answers 401 to %s", async (_, change) => {
  await expectProblem(await post(PING, await change(await discord.sign(PING))), "unauthenticated");
});

it.each([["[]"], ["{"], [JSON.stringify({ type: 5 })], [JSON.stringify({ type: 2, id: "x" })]])(
  "refuses %s though it is signed",
  async (body) => {
    await expectProblem(await post(body, await discord.sign(body)), "invalid_request");
  },
);

it("says which settings are missing where there is no application", async () => {
  const detail = await expectProblem(await post(PING, await discord.sign(PING), {}), "not_found");
  expect(detail).toContain("DISCORD_");
});

it("does not start with half of an application", async () => {
  const answer = await post(PING, await discord.sign(PING), { DISCORD_PUBLIC_KEY: discord.publicKey });
  expect(answer.status).toBe(500);
});
