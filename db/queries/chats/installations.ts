// Where a bot of ours was let in, with the token that it was given there.
import { and, eq, isNull, lte } from "drizzle-orm";
import type { ChatPlatform } from "../../../shared/contract/chats.ts";
import type { Database } from "../../database.ts";
import { chatInstallations, chatLinks, chatReplies, type Lane } from "../../schema.ts";
import { commitAll } from "../transitions.ts";

export type InstallationRow = typeof chatInstallations.$inferSelect;

/** In place of one that was there. */
export async function putInstallation(db: Database, row: InstallationRow): Promise<void> {
  const { token, installedBy, installedAtMs } = row;
  await db
    .insert(chatInstallations)
    .values(row)
    .onConflictDoUpdate({
      target: [chatInstallations.platform, chatInstallations.placeId],
      set: { token, installedBy, installedAtMs },
    });
}

export async function findInstallation(
  db: Database,
  platform: ChatPlatform,
  placeId: string,
): Promise<InstallationRow | undefined> {
  const here = and(eq(chatInstallations.platform, platform), eq(chatInstallations.placeId, placeId));
  return await db.select().from(chatInstallations).where(here).get();
}

export interface Departure {
  readonly platform: ChatPlatform;
  readonly placeId: string;
  readonly lane: Lane;
  /** What was made later has nothing to do with it. */
  readonly atMs: number;
  /** What the replies that are owed there end with. */
  readonly reason: string;
}

/** Erases the place's token and those of its replies, and undoes its link. Safe to repeat. */
export async function dropPlace(db: Database, { platform, placeId, lane, atMs, reason }: Departure): Promise<void> {
  await commitAll(db, [
    db
      .delete(chatInstallations)
      .where(
        and(
          eq(chatInstallations.platform, platform),
          eq(chatInstallations.placeId, placeId),
          lte(chatInstallations.installedAtMs, atMs),
        ),
      ),
    db
      .update(chatLinks)
      .set({ unlinkedAtMs: atMs })
      .where(
        and(
          eq(chatLinks.platform, platform),
          eq(chatLinks.placeId, placeId),
          lte(chatLinks.linkedAtMs, atMs),
          isNull(chatLinks.unlinkedAtMs),
        ),
      ),
    db
      .update(chatReplies)
      .set({ state: "failed", token: null, dueAtMs: null, lastError: reason })
      .where(and(eq(chatReplies.lane, lane), eq(chatReplies.state, "pending"), lte(chatReplies.createdAtMs, atMs))),
  ]);
}
