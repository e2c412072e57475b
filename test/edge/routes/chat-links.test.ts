// Linking a chat server: the code over HTTP, its redemption as the chat's adapter asks for it.
import { beforeEach, expect, it } from "vitest";
import { findPlaceLink } from "../../../db/queries/chats/links.ts";
import { redeemCode } from "../../../edge/services/chats/links.ts";
import { CHAT_LIMITS, chatLinkListSchema, issuedChatLinkSchema } from "../../../shared/contract/chats.ts";
import { SCOPES } from "../../../shared/contract/keys.ts";
import { env } from "../support/env.ts";
import { call, expectProblem } from "../support/http.ts";
import { newKey, type TestKey } from "../support/keys.ts";
import { newTenant, type Tenant } from "../support/tenant.ts";
import { freshDeployment, World } from "../support/world.ts";

const PATH = "/v1/integrations/links";
const GUILD = { platform: "discord", placeId: "613425648685547541" } as const;
let tenant: Tenant;
let key: TestKey;
let world: World;

beforeEach(async () => {
  await freshDeployment();
  tenant = await newTenant();
  key = await newKey(tenant);
  world = new World();
  world.nowMs = Date.now(); // the routes go by the real clock
});

async function link(wanted: object = {}) {
  const answer = await call("POST", PATH, { token: key.key, body: { platform: "discord", ...wanted } });
  expect(answer.status).toBe(201);
  expect(answer.headers.get("cache-control")).toBe("no-store");
  return issuedChatLinkSchema.parse(await answer.json());
}

const redeem = async (code: string, place: typeof GUILD | { platform: "discord"; placeId: string } = GUILD) =>
  await redeemCode(world.ports, place, "80351110224678912", code);

const listed = async () => chatLinkListSchema.parse(await (await call("GET", PATH, { token: key.key })).json()).data;

it("links a place by its code, once, and shows the link as it stands", async () => {
  const { id, code } = await link({ channels: ["41771983423143937"], user_daily_clips: 3 });
  expect(await listed()).toMatchObject([{ id, state: "waiting", key_id: key.id, place_id: null }]);
  await redeem(code);
  expect(await listed()).toMatchObject([
    {
      id,
      state: "linked",
      place_id: GUILD.placeId,
      linked_by: "80351110224678912",
      channels: ["41771983423143937"],
      roles: null,
      user_daily_clips: 3,
      channel_daily_clips: null,
    },
  ]);
  await expect(redeem(code, { ...GUILD, placeId: "2" })).rejects.toThrow("wrong, was used, or has expired");
});

it("keeps the code nowhere in the clear", async () => {
  const { code } = await link();
  const { results } = await env.DB.prepare("select * from chat_links").all();
  expect(results).toHaveLength(1);
  expect(JSON.stringify(results)).not.toContain(code);
});

it("refuses a code that has expired", async () => {
  const { code } = await link();
  world.advance((CHAT_LIMITS.codeLifetime + 60) * 1_000); // past every clock of the code
  await expect(redeem(code)).rejects.toThrow("has expired");
});

it("refuses a second link for a place until the first is deleted", async () => {
  const first = await link();
  const second = await link();
  await redeem(first.code);
  await expect(redeem(second.code)).rejects.toThrow("linked already");
  expect((await call("DELETE", `${PATH}/${first.id}`, { token: key.key })).status).toBe(204);
  expect(await findPlaceLink(world.ports.db, "discord", GUILD.placeId)).toBeUndefined();
  await redeem(second.code);
  expect((await findPlaceLink(world.ports.db, "discord", GUILD.placeId))?.link.id).toBe(second.id);
});

it("gives a code that was deleted to nobody", async () => {
  const { id, code } = await link();
  await call("DELETE", `${PATH}/${id}`, { token: key.key });
  await expect(redeem(code)).rejects.toThrow("wrong, was used");
});

it("changes only the rules that are named", async () => {
  const { id } = await link({ user_daily_clips: 3, roles: ["1"] });
  const change = { channel_daily_cap_micros: 5_000_000, roles: null };
  const changed = await call("PATCH", `${PATH}/${id}`, { token: key.key, body: change });
  expect(await changed.json()).toMatchObject({ user_daily_clips: 3, channel_daily_cap_micros: 5_000_000, roles: null });
  const same = await call("PATCH", `${PATH}/${id}`, { token: key.key, body: {} });
  expect(await same.json()).toMatchObject({ user_daily_clips: 3, channel_daily_cap_micros: 5_000_000 });
});

it("keeps another account's links out of sight and out of reach", async () => {
  const { id } = await link();
  const other = await newKey(await newTenant());
  expect(await (await call("GET", PATH, { token: other.key })).json()).toEqual({ data: [] });
  await expectProblem(await call("PATCH", `${PATH}/${id}`, { token: other.key, body: {} }), "not_found");
  await expectProblem(await call("DELETE", `${PATH}/${id}`, { token: other.key }), "not_found");
});

it("asks for a key that manages keys and may order", async () => {
  const managing = await newKey(tenant, { scopes: ["keys:write"] });
  const ordering = await newKey(tenant, { scopes: SCOPES.filter((scope) => scope !== "keys:write") });
  for (const { key: token } of [managing, ordering]) {
    await expectProblem(await call("POST", PATH, { token, body: { platform: "discord" } }), "scope_missing");
  }
});

it.each([
  ["an unknown platform", { platform: "irc" }, "/platform"],
  ["a channel that is no id", { channels: ["#general"] }, "/channels/0"],
  ["an empty list of roles", { roles: [] }, "/roles"],
  ["a negative cap", { user_daily_clips: -1 }, "/user_daily_clips"],
  ["a member that it does not know", { daily_clips: 1 }, "/daily_clips"],
])("refuses %s", async (_, wanted, pointer) => {
  const body = { platform: "discord", ...wanted };
  await expectProblem(await call("POST", PATH, { token: key.key, body }), "invalid_request", pointer);
});

it("refuses roles for Slack, which has none, when a link is made and when it is changed", async () => {
  const made = { platform: "slack", roles: ["1"] };
  await expectProblem(await call("POST", PATH, { token: key.key, body: made }), "invalid_request", "/roles");
  const { id } = await link({ platform: "slack", channels: ["C1"] });
  const change = { roles: ["1"] };
  await expectProblem(
    await call("PATCH", `${PATH}/${id}`, { token: key.key, body: change }),
    "invalid_request",
    "/roles",
  );
});

it("does not let a code of one platform be redeemed on another", async () => {
  const { code } = await link({ platform: "slack" });
  await expect(redeem(code)).rejects.toThrow("wrong, was used");
});

it("refuses one link more than an account may have", async () => {
  for (let i = 0; i < CHAT_LIMITS.links; i++) await link();
  const answer = await call("POST", PATH, { token: key.key, body: { platform: "discord" } });
  await expectProblem(answer, "too_many_links");
});
