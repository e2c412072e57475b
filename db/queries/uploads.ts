// Uploads: each change but the removal asks for the state that it leaves.
import { and, asc, eq, gt, inArray, lte, min, ne, sql } from "drizzle-orm";
import type { AccountId, UploadId } from "../../shared/ids.ts";
import type { Database } from "../database.ts";
import { uploads } from "../schema.ts";

export type UploadRow = typeof uploads.$inferSelect;

/** False when the account has `limit` uploads already. */
export async function insertUpload(
  db: Database,
  row: Pick<UploadRow, "id" | "accountId" | "contentType" | "bytes" | "createdAtMs" | "dueAtMs">,
  limit: number,
): Promise<boolean> {
  const { id, accountId, contentType, bytes, createdAtMs, dueAtMs } = row;
  const kept = sql`(select count(*) from ${uploads} where ${uploads.accountId} = ${accountId})`;
  const { meta } = await db.insert(uploads).select(
    sql`select ${id}, ${accountId}, 'pending', ${contentType}, ${bytes}, null, null, null, ${createdAtMs}, ${dueAtMs}
      where ${kept} < ${limit}`,
  );
  return meta.changes === 1;
}

function isOf(accountId: AccountId, id: UploadId) {
  return and(eq(uploads.id, id), eq(uploads.accountId, accountId), ne(uploads.state, "deleted"));
}

/** Undefined to anyone but its owner, and when its time is over, just as if it were absent. */
export async function findUploadOf(
  db: Database,
  accountId: AccountId,
  id: UploadId,
  nowMs: number,
): Promise<UploadRow | undefined> {
  return await db
    .select()
    .from(uploads)
    .where(and(isOf(accountId, id), gt(uploads.dueAtMs, nowMs)))
    .get();
}

type Verdict =
  | { readonly state: "ready"; readonly width: number; readonly height: number; readonly dueAtMs: number }
  | { readonly state: "rejected"; readonly rejection: string };

/** The first verdict on a pending upload stands. */
export async function judgeUpload(db: Database, id: UploadId, verdict: Verdict, nowMs: number): Promise<void> {
  await db
    .update(uploads)
    .set(verdict)
    .where(and(eq(uploads.id, id), eq(uploads.state, "pending"), gt(uploads.dueAtMs, nowMs)));
}

/** False when there is none to delete. */
export async function deleteUpload(
  db: Database,
  accountId: AccountId,
  id: UploadId,
  dueAtMs: number,
  nowMs: number,
): Promise<boolean> {
  const { meta } = await db
    .update(uploads)
    .set({ state: "deleted", dueAtMs })
    .where(and(isOf(accountId, id), gt(uploads.dueAtMs, nowMs)));
  return meta.changes === 1;
}

/** The longest overdue first. */
export async function findDueUploads(db: Database, nowMs: number, limit: number): Promise<UploadId[]> {
  const rows = await db
    .select({ id: uploads.id })
    .from(uploads)
    .where(lte(uploads.dueAtMs, nowMs))
    .orderBy(asc(uploads.dueAtMs))
    .limit(limit);
  return rows.map(({ id }) => id);
}

/** Once their objects are gone. */
export async function dropUploads(db: Database, ids: readonly UploadId[]): Promise<void> {
  await db.delete(uploads).where(inArray(uploads.id, sql`(select value from json_each(${JSON.stringify(ids)}))`));
}

export async function findNextUploadRemoval(db: Database): Promise<number | null> {
  const row = await db
    .select({ at: min(uploads.dueAtMs) })
    .from(uploads)
    .get();
  return row?.at ?? null;
}
