// Browser tokens: short-lived, each made by a key.
import { and, eq, lte, min } from "drizzle-orm";
import type { AccountId, ClipId, TokenId } from "../../shared/ids.ts";
import type { Database } from "../database.ts";
import { apiKeys, browserTokens, clips } from "../schema.ts";
import type { ApiKeyRow } from "./keys.ts";

export type BrowserTokenRow = typeof browserTokens.$inferSelect;

export async function insertBrowserToken(db: Database, token: BrowserTokenRow): Promise<void> {
  await db.insert(browserTokens).values(token);
}

export async function findBrowserToken(
  db: Database,
  id: TokenId,
): Promise<{ readonly token: BrowserTokenRow; readonly key: ApiKeyRow } | undefined> {
  return await db
    .select({ token: browserTokens, key: apiKeys })
    .from(browserTokens)
    .innerJoin(apiKeys, eq(apiKeys.id, browserTokens.keyId))
    .where(eq(browserTokens.id, id))
    .get();
}

/** Whether the clip was ordered with this token. */
export async function orderedWith(
  db: Database,
  tokenId: TokenId,
  accountId: AccountId,
  clipId: ClipId,
): Promise<boolean> {
  const row = await db
    .select({ id: clips.id })
    .from(clips)
    .where(and(eq(clips.id, clipId), eq(clips.accountId, accountId), eq(clips.tokenId, tokenId)))
    .get();
  return row !== undefined;
}

/** Drops tokens that expired at that time or before. */
export async function dropBrowserTokens(db: Database, expiredByMs: number): Promise<void> {
  await db.delete(browserTokens).where(lte(browserTokens.expiresAtMs, expiredByMs));
}

export async function findNextTokenExpiry(db: Database): Promise<number | null> {
  const row = await db
    .select({ at: min(browserTokens.expiresAtMs) })
    .from(browserTokens)
    .get();
  return row?.at ?? null;
}
