// Links of chat platforms to accounts: waiting for their code, standing, undone.
import { and, desc, eq, gt, isNull, type SQL, sql } from "drizzle-orm";
import type { ChatPlatform } from "../../../shared/contract/chats.ts";
import type { AccountId, LinkId } from "../../../shared/ids.ts";
import { type Database, violatedConstraint } from "../../database.ts";
import { apiKeys, chatLinks } from "../../schema.ts";
import type { ApiKeyRow } from "../keys.ts";

export type ChatLinkRow = typeof chatLinks.$inferSelect;
export type ChatRules = Pick<
  ChatLinkRow,
  "channels" | "roles" | "channelDailyClips" | "channelDailyCapMicros" | "userDailyClips" | "userDailyCapMicros"
>;

const stands = isNull(chatLinks.unlinkedAtMs);

function isOf(accountId: AccountId, id: LinkId): SQL | undefined {
  return and(eq(chatLinks.id, id), eq(chatLinks.accountId, accountId), stands);
}

/** False, and nothing is written, where the account has `max` links already. */
export async function insertLink(db: Database, link: ChatLinkRow, max: number): Promise<boolean> {
  const standing = sql`(select count(*) from chat_links where account_id = ${link.accountId} and unlinked_at_ms is null)`;
  const platform = sql`case when ${standing} < ${max} then ${link.platform} end`;
  try {
    await db.insert(chatLinks).values({ ...link, platform });
  } catch (error) {
    if (violatedConstraint(error) === "chat_links.platform") return false;
    throw error;
  }
  return true;
}

/** Newest first. */
export async function findLinks(db: Database, accountId: AccountId, limit: number): Promise<ChatLinkRow[]> {
  const mine = and(eq(chatLinks.accountId, accountId), stands);
  return await db.select().from(chatLinks).where(mine).orderBy(desc(chatLinks.id)).limit(limit);
}

export async function changeLink(
  db: Database,
  accountId: AccountId,
  id: LinkId,
  rules: Partial<ChatRules>,
): Promise<ChatLinkRow | undefined> {
  const [row] = await db.update(chatLinks).set(rules).where(isOf(accountId, id)).returning();
  return row;
}

export async function findLink(db: Database, accountId: AccountId, id: LinkId): Promise<ChatLinkRow | undefined> {
  return await db.select().from(chatLinks).where(isOf(accountId, id)).get();
}

/** False when there is no such link. Its code, if it still waits for one, goes with it. */
export async function unlink(db: Database, accountId: AccountId, id: LinkId, atMs: number): Promise<boolean> {
  const { meta } = await db.update(chatLinks).set({ unlinkedAtMs: atMs, codeSha256: null }).where(isOf(accountId, id));
  return meta.changes === 1;
}

export interface Redemption {
  readonly codeSha256: string;
  readonly platform: ChatPlatform;
  readonly placeId: string;
  readonly userId: string;
  readonly atMs: number;
}

/** Once only: the code goes with it. "taken" when the place has a link that stands. */
export async function redeem(db: Database, redemption: Redemption): Promise<"linked" | "no code" | "taken"> {
  const { codeSha256, platform, placeId, userId, atMs } = redemption;
  try {
    const { meta } = await db
      .update(chatLinks)
      .set({ placeId, codeSha256: null, linkedAtMs: atMs, linkedBy: userId })
      .where(
        and(
          eq(chatLinks.codeSha256, codeSha256),
          eq(chatLinks.platform, platform),
          gt(chatLinks.codeExpiresAtMs, atMs),
          stands,
        ),
      );
    return meta.changes === 1 ? "linked" : "no code";
  } catch (error) {
    if (violatedConstraint(error) === "chat_links.platform, chat_links.place_id") return "taken";
    throw error;
  }
}

/** The link that stands for this place, with the key that it lends. */
export async function findPlaceLink(
  db: Database,
  platform: ChatPlatform,
  placeId: string,
): Promise<{ readonly link: ChatLinkRow; readonly key: ApiKeyRow } | undefined> {
  return await db
    .select({ link: chatLinks, key: apiKeys })
    .from(chatLinks)
    .innerJoin(apiKeys, eq(apiKeys.id, chatLinks.keyId))
    .where(and(eq(chatLinks.platform, platform), eq(chatLinks.placeId, placeId), stands))
    .get();
}
