// Registers a runner and issues its token, which is in the answer and nowhere else.
import { insertRunner } from "../../../db/queries/runners.ts";
import type { RunnerId } from "../../../shared/ids.ts";
import { issueCredential, RUNNER_TOKEN } from "../credential.ts";
import type { Ports } from "../ports.ts";

export async function registerRunner(
  ports: Pick<Ports, "db" | "clock" | "random" | "digest">,
  name: string,
): Promise<{ readonly id: RunnerId; readonly token: string }> {
  const { id, secret, sha256 } = await issueCredential(ports, RUNNER_TOKEN);
  await insertRunner(ports.db, { id, name, tokenSha256: sha256, createdAtMs: ports.clock.now(), models: [] });
  return { id, token: secret };
}
