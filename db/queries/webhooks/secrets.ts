// Signing secrets, as sealed.
import { and, desc, eq, gt, isNull, lte, or, sql } from "drizzle-orm";
import type { Database } from "../../database.ts";
import { type Lane, webhookSecrets } from "../../schema.ts";
import type { Statement } from "../transitions.ts";

export type SecretRow = typeof webhookSecrets.$inferSelect;
type Owner = SecretRow["owner"];

/** An endpoint's lane is signed by its own secrets, a clip's URL by the account's. */
export const ownerOf = (lane: Lane): Owner => lane.split("@")[0] as Owner;

/** More overlapping rotations than this, and the oldest of them sign no longer: a header has an end. */
const SIGNING_AT_ONCE = 5;

export function insertSecret(db: Database, row: SecretRow): Statement {
  return db.insert(webhookSecrets).values(row);
}

/** What is unexpired, newest first. */
export const selectSecrets = (db: Database, owner: Owner, nowMs: number) =>
  db
    .select()
    .from(webhookSecrets)
    .where(
      and(
        eq(webhookSecrets.owner, owner),
        or(isNull(webhookSecrets.expiresAtMs), gt(webhookSecrets.expiresAtMs, nowMs)),
      ),
    )
    .orderBy(desc(webhookSecrets.id))
    .limit(SIGNING_AT_ONCE);

/** Of all that an owner has: what is expired goes, and the rest expires at that time or before. */
export function expireSecrets(db: Database, owner: Owner, nowMs: number, atMs: number): [Statement, Statement] {
  return [
    db.delete(webhookSecrets).where(and(eq(webhookSecrets.owner, owner), lte(webhookSecrets.expiresAtMs, nowMs))),
    db
      .update(webhookSecrets)
      .set({ expiresAtMs: sql`min(coalesce(${webhookSecrets.expiresAtMs}, ${atMs}), ${atMs})` })
      .where(eq(webhookSecrets.owner, owner)),
  ];
}

export function dropSecrets(db: Database, owner: Owner): Statement {
  return db.delete(webhookSecrets).where(eq(webhookSecrets.owner, owner));
}
