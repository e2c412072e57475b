// A chat's server or workspace orders for an account once somebody who manages both has redeemed a one-time code there.
// The link lends the key that made it: what the key may not do or spend, the chat may not either.
import {
  type ChatLinkRow,
  type ChatRules,
  changeLink,
  findLink,
  findLinks,
  insertLink,
  redeem,
  unlink,
} from "../../../db/queries/chats/links.ts";
import {
  CHAT_LIMITS,
  type ChangeChatLink,
  type ChatLink,
  type ChatLinkList,
  type ChatPlatform,
  type CreateChatLink,
  type IssuedChatLink,
} from "../../../shared/contract/chats.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { AccountId, LinkId } from "../../../shared/ids.ts";
import { micros } from "../../../shared/pricing.ts";
import { timestamp } from "../clips/view.ts";
import { base62, hex } from "../encoding.ts";
import { newIdAt } from "../identifiers.ts";
import { requireScopeOf } from "../keys/scope.ts";
import type { Bearer } from "../keys/verify.ts";
import type { Ports } from "../ports.ts";
import { ChatRefusal, type Place, WORDS } from "./place.ts";

/** 128 bits: nobody finds one by trying within its lifetime. */
const CODE_BYTES = 16;

type Source = Pick<Ports, "db" | "clock">;

function view(row: ChatLinkRow, nowMs: number): ChatLink {
  const waiting = row.codeExpiresAtMs > nowMs ? "waiting" : "expired";
  return {
    id: row.id,
    object: "chat_link",
    platform: row.platform,
    state: row.linkedAtMs === null ? waiting : "linked",
    key_id: row.keyId,
    place_id: row.placeId,
    channels: row.channels === null ? null : [...row.channels],
    roles: row.roles === null ? null : [...row.roles],
    channel_daily_clips: row.channelDailyClips,
    channel_daily_cap_micros: row.channelDailyCapMicros,
    user_daily_clips: row.userDailyClips,
    user_daily_cap_micros: row.userDailyCapMicros,
    created_at: timestamp(row.createdAtMs),
    linked_at: row.linkedAtMs === null ? null : timestamp(row.linkedAtMs),
    linked_by: row.linkedBy,
  };
}

/** Undefined members are left out, so that they change nothing. */
function rulesOf(wanted: ChangeChatLink): Partial<ChatRules> {
  const cap = (value: number | null) => (value === null ? null : micros(value));
  return {
    ...(wanted.channels !== undefined && { channels: wanted.channels }),
    ...(wanted.roles !== undefined && { roles: wanted.roles }),
    ...(wanted.channel_daily_clips !== undefined && { channelDailyClips: wanted.channel_daily_clips }),
    ...(wanted.channel_daily_cap_micros !== undefined && {
      channelDailyCapMicros: cap(wanted.channel_daily_cap_micros),
    }),
    ...(wanted.user_daily_clips !== undefined && { userDailyClips: wanted.user_daily_clips }),
    ...(wanted.user_daily_cap_micros !== undefined && { userDailyCapMicros: cap(wanted.user_daily_cap_micros) }),
  };
}

const NO_RULES: ChatRules = {
  channels: null,
  roles: null,
  channelDailyClips: null,
  channelDailyCapMicros: null,
  userDailyClips: null,
  userDailyCapMicros: null,
};

/** Throws invalid_request for rules that the platform cannot keep. */
function requireRules(platform: ChatPlatform, { roles }: ChangeChatLink): void {
  if (platform === "slack" && roles != null) {
    throw new ApiError("invalid_request", "Slack has no roles; bound who orders by channels and caps.", "/roles");
  }
}

async function hashCode(ports: Pick<Ports, "digest">, code: string): Promise<string> {
  return hex(await ports.digest.sha256(code));
}

/** Throws scope_missing for a key that cannot order, invalid_request, too_many_links. */
export async function createLink(
  ports: Source & Pick<Ports, "random" | "digest">,
  bearer: Bearer,
  { platform, ...wanted }: CreateChatLink,
): Promise<IssuedChatLink> {
  requireScopeOf(bearer, "clips:write");
  requireRules(platform, wanted);
  const createdAtMs = ports.clock.now();
  const code = base62(ports.random.bytes(CODE_BYTES));
  const row: ChatLinkRow = {
    id: newIdAt(ports, "link", createdAtMs),
    accountId: bearer.accountId,
    keyId: bearer.keyId,
    platform,
    placeId: null,
    codeSha256: await hashCode(ports, code),
    codeExpiresAtMs: createdAtMs + CHAT_LIMITS.codeLifetime * 1_000,
    ...NO_RULES,
    ...rulesOf(wanted),
    createdAtMs,
    linkedAtMs: null,
    linkedBy: null,
    unlinkedAtMs: null,
  };
  if (!(await insertLink(ports.db, row, CHAT_LIMITS.links))) {
    throw new ApiError("too_many_links", `An account has at most ${CHAT_LIMITS.links} links; delete one first.`);
  }
  return { ...view(row, createdAtMs), code, code_expires_at: timestamp(row.codeExpiresAtMs) };
}

export async function listLinks(ports: Source, accountId: AccountId): Promise<ChatLinkList> {
  const rows = await findLinks(ports.db, accountId, CHAT_LIMITS.links);
  return { data: rows.map((row) => view(row, ports.clock.now())) };
}

function noSuchLink(): ApiError {
  return new ApiError("not_found", "There is no such link.");
}

/** From the next order on. Throws not_found, invalid_request. */
export async function changeLinkRules(
  ports: Source,
  accountId: AccountId,
  id: LinkId,
  wanted: ChangeChatLink,
): Promise<ChatLink> {
  const found = await findLink(ports.db, accountId, id);
  if (found === undefined) throw noSuchLink();
  requireRules(found.platform, wanted);
  const rules = rulesOf(wanted);
  const row = Object.keys(rules).length === 0 ? found : await changeLink(ports.db, accountId, id, rules);
  if (row === undefined) throw noSuchLink();
  return view(row, ports.clock.now());
}

/** The chat orders nothing more; what it has ordered is still delivered. Throws not_found. */
export async function removeLink(ports: Source, accountId: AccountId, id: LinkId): Promise<void> {
  if (!(await unlink(ports.db, accountId, id, ports.clock.now()))) throw noSuchLink();
}

/** By somebody whom the platform says manages the place. Throws ChatRefusal. */
export async function redeemCode(
  ports: Source & Pick<Ports, "digest">,
  { platform, placeId }: Place,
  userId: string,
  code: string,
): Promise<void> {
  const codeSha256 = await hashCode(ports, code.trim());
  const outcome = await redeem(ports.db, { codeSha256, platform, placeId, userId, atMs: ports.clock.now() });
  if (outcome === "no code") {
    throw new ChatRefusal("This code is wrong, was used, or has expired; `POST /v1/integrations/links` gives another.");
  }
  if (outcome === "taken") {
    throw new ChatRefusal(
      `This ${WORDS[platform].place} is linked already; \`DELETE /v1/integrations/links/{id}\` undoes that.`,
    );
  }
}
