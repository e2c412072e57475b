// Who did what to keys and money: each act writes its entry in its own batch, so that there is neither an act
// without an entry nor an entry without its act.
import { type AuditRow, findActs } from "../../db/queries/audit.ts";
import type { AuditEntry, AuditPage, ListAudit } from "../../shared/contract/audit.ts";
import type { AccountId } from "../../shared/ids.ts";
import { timestamp } from "./clips/view.ts";
import { newIdAt } from "./identifiers.ts";
import type { Authority } from "./keys/reach.ts";
import type { Ports } from "./ports.ts";

/** What an act needs of the world to be told of. */
export type AuditSource = Pick<Ports, "clock" | "random" | "requestId">;

export function newAct(
  ports: AuditSource,
  act: Pick<AuditRow, "accountId" | "actor" | "action" | "subject" | "detail">,
): AuditRow {
  const atMs = ports.clock.now();
  return { id: newIdAt(ports, "audit", atMs), ...act, requestId: ports.requestId, atMs };
}

export function actorOf(authority: Authority): AuditRow["actor"] {
  return authority === "operator" ? authority : authority.id;
}

/** What moderation goes by is the operator's alone, or a customer could ask for the list of terms one by one. */
const isHidden = ({ action }: AuditRow) => action === "prompt.refused" || action === "clip.refused";

function view(row: AuditRow, whole: boolean): AuditEntry {
  return {
    id: row.id,
    object: "audit_entry",
    account_id: row.accountId,
    actor: row.actor,
    action: row.action,
    subject: row.subject,
    detail: whole || !isHidden(row) ? { ...row.detail } : {},
    request_id: row.requestId,
    at: timestamp(row.atMs),
  };
}

/** Newest first, of one account as it may see them, or for null of all as the operator does. */
export async function listAudit(
  ports: Pick<Ports, "db">,
  accountId: AccountId | null,
  { limit, after }: ListAudit,
): Promise<AuditPage> {
  const rows = await findActs(ports.db, accountId, after ?? null, limit + 1);
  const data = rows.slice(0, limit).map((row) => view(row, accountId === null));
  return { data, next: rows.length > limit ? (data.at(-1)?.id ?? null) : null };
}
