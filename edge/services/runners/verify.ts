// Which runner asks: from a presented token to its id.
import { findRunner } from "../../../db/queries/runners.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { RunnerId } from "../../../shared/ids.ts";
import { credentialId, hashCredential, RUNNER_TOKEN } from "../credential.ts";
import { equalInConstantTime } from "../encoding.ts";
import type { Ports } from "../ports.ts";

export async function verifyRunner(ports: Pick<Ports, "db" | "digest">, presented: string): Promise<RunnerId> {
  const id = credentialId(RUNNER_TOKEN, presented);
  const row = id === null ? undefined : await findRunner(ports.db, id);
  if (row === undefined || !equalInConstantTime(row.tokenSha256, await hashCredential(ports, presented))) {
    throw new ApiError("unauthenticated", "The runner token is not valid.");
  }
  return row.id;
}
