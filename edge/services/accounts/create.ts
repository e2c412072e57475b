// Opens an account with an empty balance.
import { insertAccount } from "../../../db/queries/accounts.ts";
import type { AccountId } from "../../../shared/ids.ts";
import { newId } from "../identifiers.ts";
import type { Ports } from "../ports.ts";

export async function createAccount(ports: Pick<Ports, "db" | "clock" | "random">, name: string): Promise<AccountId> {
  const id = newId(ports, "account");
  await insertAccount(ports.db, { id, name, createdAtMs: ports.clock.now() });
  return id;
}
