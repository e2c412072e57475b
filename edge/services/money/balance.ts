// What an account has, has promised, and can still spend.
import { findBalance } from "../../../db/queries/accounts.ts";
import type { Balance } from "../../../shared/contract/balance.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { AccountId } from "../../../shared/ids.ts";
import type { Ports } from "../ports.ts";

export async function getBalance(ports: Pick<Ports, "db">, accountId: AccountId): Promise<Balance> {
  const row = await findBalance(ports.db, accountId);
  if (row === undefined) throw new ApiError("not_found", "There is no such account.");
  const { postedMicros, pendingMicros } = row;
  return {
    posted_micros: postedMicros,
    pending_micros: pendingMicros,
    available_micros: postedMicros - pendingMicros,
  };
}
