// What is left of clips that were deleted: the files under a deployment's home are searched byte by byte, and the databases
// among them as they are once SQLite has written them anew, without the free pages that it has not used again.
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createAccount } from "../../scripts/local/account.ts";
import type { Clip } from "../../shared/contract/clips.ts";
import { CREDIT_MICROS, type System, startSystem } from "./support.ts";

const SECRET = "a turquoise elephant that nobody else may know of";
const SMALL = { model: "turboclip-demo", prompt: SECRET, frames: 5, steps: 1 } as const;

let system: System;
beforeAll(async () => {
  system = await startSystem({ WEBHOOK_TRUSTED_HOSTS: "127.0.0.1" });
});
afterAll(() => system?.close());

/** Written anew, with what its log has not merged yet. */
async function wholeDatabase(path: string): Promise<Buffer> {
  const folder = await mkdtemp(join(tmpdir(), "turboclip-copy-"));
  try {
    await cp(dirname(path), folder, { recursive: true });
    const copy = new DatabaseSync(join(folder, path.slice(dirname(path).length + 1)));
    copy.exec(`vacuum into '${join(folder, "anew")}'`);
    copy.close();
    return await readFile(join(folder, "anew"));
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The files that hold the text, by their names from the home on. The deployment must not run meanwhile. */
async function filesWith(text: string): Promise<string[]> {
  const entries = await readdir(system.home, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const found: string[] = [];
  for (const path of paths) {
    if (/\.sqlite-(wal|shm)$/.test(path)) continue; // part of the database beside it
    const bytes = path.endsWith(".sqlite") ? await wholeDatabase(path) : await readFile(path);
    if (bytes.includes(text)) found.push(path.slice(system.home.length + 1));
  }
  return found;
}

test("clips that were ordered by every door, made and deleted are nowhere in the deployment's files", async () => {
  const { apiKey } = await createAccount(system.edge, "customer", CREDIT_MICROS);
  const ask = async (method: string, path: string, body?: object, headers: Record<string, string> = {}) => {
    const auth = { authorization: `Bearer ${apiKey}` };
    const typed = body === undefined ? auth : { ...auth, "content-type": "application/json" };
    const init = {
      method,
      headers: { ...typed, ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    };
    const answer = await fetch(path.startsWith("http") ? path : `${system.edge.origin}${path}`, init);
    const text = await answer.text();
    expect(answer.ok, `${method} ${path}: ${text}`).toBe(true);
    return text;
  };
  const idIn = (text: string) => /clip_[0-9a-z]{26}/.exec(text)?.[0] ?? "";

  // Nobody listens there, so messages wait for a delivery that never comes.
  await ask("POST", "/v1/webhook-secret/rotate");
  await ask("POST", "/v1/webhook-endpoints", { url: "http://127.0.0.1:9/hook" });
  const trigger = JSON.parse(
    await ask("POST", "/v1/triggers", {
      name: "t",
      prompt: "{{ $.about }}",
      clip: { model: SMALL.model, frames: SMALL.frames, steps: SMALL.steps },
    }),
  ) as { url: string };
  const form = new FormData();
  for (const [name, value] of [
    ["model", SMALL.model],
    ["prompt", SECRET],
  ] as const)
    form.append(name, value);
  const authorization = `Bearer ${apiKey}`;
  const video = await fetch(`${system.edge.origin}/v1/videos`, {
    method: "POST",
    headers: { authorization },
    body: form,
  });
  const rpc = { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "create_clip", arguments: SMALL } };
  const ids = [
    await ask(
      "POST",
      "/v1/clips",
      { ...SMALL, metadata: { about: SECRET }, webhook_url: "http://127.0.0.1:9/clip" },
      { "idempotency-key": "k" },
    ),
    await ask("POST", "/mcp", rpc, { accept: "application/json, text/event-stream" }),
    await ask("POST", trigger.url, { about: SECRET }),
    await video.text(),
  ].map(idIn);
  await ask("POST", `/v1/clips/${ids[3]}/cancel`);
  await ask("POST", "/v1/clips/estimate", SMALL);

  const runner = await system.startRunner("runner");
  for (const id of ids.slice(0, 3)) {
    const clip = JSON.parse(await ask("GET", `/v1/clips/${id}`, undefined, { prefer: "wait=60" })) as Clip;
    expect(clip.state).toBe("succeeded");
    await ask("GET", `/v1/clips/${id}/events`);
  }
  await runner.stop();
  await writeFile(join(system.home, "planted"), SECRET);
  await system.edge.service.kill();
  const before = await filesWith(SECRET);
  expect(before).toContain("planted");
  expect(before.filter((path) => path.includes("D1DatabaseObject"))).toHaveLength(1);
  await rm(join(system.home, "planted"));

  await system.restartEdge();
  for (const id of ids) await ask("DELETE", `/v1/clips/${id}`);
  await system.edge.service.kill();
  expect(await filesWith(SECRET)).toEqual([]);
  const blobs = (await readdir(join(system.home, "edge"), { recursive: true })).filter((path) =>
    path.includes("/blobs/"),
  );
  expect(blobs).toEqual([]);
});
