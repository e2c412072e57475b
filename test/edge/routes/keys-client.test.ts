// The client's own code against the Worker itself: what one sends is what the other takes.
import { exports } from "cloudflare:workers";
import { beforeEach, expect, it } from "vitest";
import { TurboclipError } from "../../../client/errors.ts";
import { Connection } from "../../../client/http.ts";
import { KeysClient } from "../../../client/keys.ts";
import { ORIGIN } from "../support/http.ts";
import { newKey } from "../support/keys.ts";
import { newTenant } from "../support/tenant.ts";
import { freshDeployment } from "../support/world.ts";

beforeEach(freshDeployment);

const send: typeof fetch = async (input, init) => await exports.default.fetch(new Request(input, init));
const keysOf = (apiKey: string) => new KeysClient(new Connection({ origin: ORIGIN, apiKey, fetch: send, retries: 0 }));

async function manager(): Promise<KeysClient> {
  return keysOf((await newKey(await newTenant())).key);
}

it("the client makes, shows, changes, rotates, lists and revokes keys", async () => {
  const keys = await manager();
  const made = await keys.create({ name: "web", scopes: ["clips:read"], daily_cap_micros: 5 });
  expect(await keys.get(made.id)).toMatchObject({ name: "web", scopes: ["clips:read"], daily_cap_micros: 5 });
  expect(await keys.change(made.id, { name: "site" })).toMatchObject({ name: "site", daily_cap_micros: 5 });
  const rotated = await keys.rotate(made.id, { overlap_seconds: 0 });
  expect(rotated.key).not.toBe(made.key);
  const listed = [];
  for await (const { id, name } of keys.list()) listed.push([id, name]);
  expect(listed).toContainEqual([made.id, "site"]);
  await keys.revoke(made.id);
  expect((await keys.get(made.id)).state).toBe("revoked");
});

it("the client makes browser tokens, and shows a refusal with its code", async () => {
  const keys = await manager();
  const token = await keys.createBrowserToken({ scopes: ["clips:write"], origins: ["https://www.example.com"] });
  expect(token).toMatchObject({ scopes: ["clips:write"], max_clips: null });
  const refused = await keysOf(token.token)
    .create({ name: "x", scopes: ["clips:read"] })
    .catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(TurboclipError);
  expect(refused).toMatchObject({ code: "origin_not_allowed", status: 403 });
});

it("the client never sends a creation or a rotation a second time", async () => {
  let sent = 0;
  const lossy: typeof fetch = async (input, init) => {
    sent += 1;
    await (await send(input, init)).text();
    throw new TypeError("connection lost");
  };
  const { key } = await newKey(await newTenant());
  const keys = new KeysClient(new Connection({ origin: ORIGIN, apiKey: key, fetch: lossy, retryDelayMs: 1 }));
  await expect(keys.create({ name: "x", scopes: ["clips:read"] })).rejects.toMatchObject({ code: "unreachable" });
  expect(sent).toBe(1);
  const names = [];
  for await (const { id, name } of keysOf(key).list()) if (name === "x") names.push(id);
  expect(names).toHaveLength(1);
  await expect(keys.rotate(names[0] ?? "")).rejects.toMatchObject({ code: "unreachable" });
  expect(sent).toBe(2);
});
