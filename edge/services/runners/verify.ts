// Which runner asks: from a presented token to its id, and whether it is drained.
import { findRunner } from "../../../db/queries/runners.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { RunnerId } from "../../../shared/ids.ts";
import { credentialId, hashCredential, RUNNER_TOKEN } from "../credential.ts";
import { equalInConstantTime } from "../encoding.ts";
import type { Ports } from "../ports.ts";

export interface VerifiedRunner {
  readonly id: RunnerId;
  /** The operator wants it to take no more clips. */
  readonly drained: boolean;
}

export async function verifyRunner(ports: Pick<Ports, "db" | "digest">, presented: string): Promise<VerifiedRunner> {
  const id = credentialId(RUNNER_TOKEN, presented);
  const row = id === null ? undefined : await findRunner(ports.db, id);
  if (row === undefined || !equalInConstantTime(row.tokenSha256, await hashCredential(ports, presented))) {
    throw new ApiError("unauthenticated", "The runner token is not valid.");
  }
  return { id: row.id, drained: row.drainedSinceMs !== null };
}
