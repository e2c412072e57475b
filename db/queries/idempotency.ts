// Answers kept for requests that carry an Idempotency-Key.
import { and, eq, lte } from "drizzle-orm";
import type { AccountId } from "../../shared/ids.ts";
import type { Database } from "../database.ts";
import { type IdempotentOperation, idempotencyKeys } from "../schema.ts";
import type { Statement } from "./transitions.ts";

export interface IdempotencyScope {
  readonly accountId: AccountId;
  readonly operation: IdempotentOperation;
  readonly key: string;
}

function isScope(scope: IdempotencyScope) {
  return and(
    eq(idempotencyKeys.accountId, scope.accountId),
    eq(idempotencyKeys.operation, scope.operation),
    eq(idempotencyKeys.key, scope.key),
  );
}

export async function findAnswer(
  db: Database,
  scope: IdempotencyScope,
): Promise<{ fingerprint: string; answer: string; createdAtMs: number } | undefined> {
  const { fingerprint, answer, createdAtMs } = idempotencyKeys;
  return await db.select({ fingerprint, answer, createdAtMs }).from(idempotencyKeys).where(isScope(scope)).get();
}

/** Makes room for a key whose answer is older than `bornBeforeMs`; a younger one stays and aborts the insert. */
export function dropOldAnswer(db: Database, scope: IdempotencyScope, bornBeforeMs: number): Statement {
  return db.delete(idempotencyKeys).where(and(isScope(scope), lte(idempotencyKeys.createdAtMs, bornBeforeMs)));
}

/** Unguarded: a second request with the key violates the primary key, which aborts its whole batch. */
export function keepAnswer(
  db: Database,
  scope: IdempotencyScope,
  kept: { readonly fingerprint: string; readonly answer: string; readonly createdAtMs: number },
): Statement {
  return db.insert(idempotencyKeys).values({ ...scope, ...kept });
}
