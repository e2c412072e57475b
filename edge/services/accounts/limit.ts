// Sets what an account may spend in a day and have in flight. Orders from the next one on are held to it; clips
// that are in flight are not touched.
import { type AccountLimits, limitAccount } from "../../../db/queries/accounts.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { AccountId } from "../../../shared/ids.ts";
import { type AuditSource, newAct } from "../audit.ts";
import type { Ports } from "../ports.ts";

/** What is left out stays as it is; a cap of null is none. */
export async function setAccountLimits(ports: AuditSource & Pick<Ports, "db">, id: AccountId, limits: AccountLimits) {
  const { dailyCapMicros, maxInFlight, logPrompts } = limits;
  const detail = {
    ...(dailyCapMicros !== undefined && { daily_cap_micros: dailyCapMicros }),
    ...(maxInFlight !== undefined && { max_in_flight: maxInFlight }),
    ...(logPrompts !== undefined && { log_prompts: logPrompts }),
  };
  const act = newAct(ports, { accountId: id, actor: "operator", action: "account.changed", subject: id, detail });
  const account = await limitAccount(ports.db, id, limits, act);
  if (account === undefined) throw new ApiError("not_found", "There is no such account.");
  return account;
}
