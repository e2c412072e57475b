// The audit log: written in the batch that does what it tells of, and read by pages, newest first.
import { and, desc, eq, lt, type SQL, sql } from "drizzle-orm";
import type { AccountId, AuditId } from "../../shared/ids.ts";
import type { Database } from "../database.ts";
import { auditLog } from "../schema.ts";
import type { Statement } from "./transitions.ts";

export type AuditRow = typeof auditLog.$inferSelect;

/** For an act that one statement does or does not do: the log's statement must come right after it. */
export const statementBeforeDidIt = sql`changes() = 1`;
/** For an act that aborts its batch where it cannot be done. */
const batchStands = sql`true`;

export function recordAct(db: Database, act: AuditRow, guard: SQL = batchStands): Statement {
  const { id, accountId, actor, action, subject, detail, requestId, atMs } = act;
  return db.insert(auditLog).select(
    sql`select ${id}, ${accountId}, ${actor}, ${action}, ${subject}, ${JSON.stringify(detail)}, ${requestId}, ${atMs}
      where ${guard}`,
  );
}

/** Of one account, or for null of all. */
export async function findActs(
  db: Database,
  accountId: AccountId | null,
  after: AuditId | null,
  limit: number,
): Promise<AuditRow[]> {
  return await db
    .select()
    .from(auditLog)
    .where(
      and(
        accountId === null ? undefined : eq(auditLog.accountId, accountId),
        after === null ? undefined : lt(auditLog.id, after),
      ),
    )
    .orderBy(desc(auditLog.id))
    .limit(limit);
}
