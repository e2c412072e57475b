// From a command in a Discord server to the delivered file: the real Worker, a real runner with the demo model, and the
// double in Discord's place, which fails on the way as Discord does.
import { afterAll, beforeAll, expect, test } from "vitest";
import { createAccount } from "../../scripts/local/account.ts";
import { type DiscordServer, startDiscord } from "../support/discord/server.ts";
import { CREDIT_MICROS, type System, startSystem } from "./support.ts";

const MINUTES_MS = 120_000;
let server: DiscordServer;
let system: System;

beforeAll(async () => {
  server = await startDiscord();
  system = await startSystem(server.settings);
  const { accountId } = await createAccount(system.edge, "customer", CREDIT_MICROS);
  const { code } = (await api("/v1/integrations/links", await managingKey(accountId), { platform: "discord" })) as {
    code: string;
  };
  const linked = await tell({ name: "turboclip-link", options: [{ name: "code", value: code }] }, "32");
  expect(linked.answer).toMatchObject({ type: 4, data: { content: expect.stringContaining("is linked") as unknown } });
});
afterAll(async () => {
  await system?.close();
  server?.close();
});

async function api(path: string, token: string, body: unknown): Promise<unknown> {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const answer = await fetch(`${system.edge.origin}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return await answer.json();
}

async function managingKey(accountId: string): Promise<string> {
  const wanted = { name: "links", scopes: ["clips:read", "clips:write", "keys:write"] };
  const issued = await api(`/admin/v1/accounts/${accountId}/keys`, system.edge.adminToken, wanted);
  return (issued as { key: string }).key;
}

async function tell(data: object, permissions = "0") {
  const { id, body } = server.discord.interaction({ type: 2, data, permissions });
  const url = () => `${system.edge.origin}/integrations/discord/interactions`;
  const post = async (headers: Record<string, string>, text: string) =>
    await fetch(url(), { method: "POST", headers, body: text });
  return { id, answer: await server.discord.deliver(body, post) };
}

const clip = async (prompt: string) =>
  await tell({
    name: "clip",
    options: [
      { name: "prompt", value: prompt },
      { name: "model", value: "turboclip-demo" },
    ],
  });

const isMp4 = (file: Uint8Array | undefined) =>
  file !== undefined && new TextDecoder().decode(file.subarray(4, 8)) === "ftyp";

test(
  "a clip ordered before the edge is killed arrives once, as a file, through 500s, 429s and broken connections",
  async () => {
    const { discord } = server;
    const { id, answer } = await clip("a red ball");
    expect(answer).toEqual({ type: 5 });
    await discord.until(() => discord.original(id)); // it waits: no runner yet
    await system.edge.service.kill();
    discord.faults.push({ status: 500 }, "no answer", { status: 429, retryAfterS: 1 }, "lost");
    await system.restartEdge();
    await system.startRunner("runner");
    const shown = await discord.until(() => {
      const original = discord.original(id);
      return original !== null && original.files.length > 0 && discord.faults.length === 0 ? original : null;
    });
    expect(shown.files.map(isMp4)).toEqual([true]);
    expect(shown.content).toBe("Your clip is ready. It cost $0.000408.");
    expect(discord.posted).toEqual([]);
  },
  MINUTES_MS,
);

test(
  "a file that Discord took right before the edge was killed is there once",
  async () => {
    const { discord } = server;
    const first = await clip("a blue ball");
    await discord.until(() => discord.original(first.id)?.files.length === 1);
    await system.edge.service.kill(); // whether it had written that down nobody knows
    await system.restartEdge();
    const second = await clip("a green ball");
    await discord.until(() => discord.original(second.id)?.files.length === 1);
    expect(discord.original(first.id)?.files.map(isMp4)).toEqual([true]);
    expect(discord.posted).toEqual([]);
  },
  MINUTES_MS,
);
