// What a caller is held to and how much of it is used.
import { findAccount, findApiKey } from "../../../db/queries/accounts.ts";
import { findInFlight, findSpent } from "../../../db/queries/limits.ts";
import type { LimitList } from "../../../shared/contract/limits.ts";
import { DAY_MS, utcDay } from "../../../shared/days.ts";
import { timestamp } from "../clips/view.ts";
import type { Caller } from "../keys/verify.ts";
import type { Ports } from "../ports.ts";

/** Of its account and of its own key; a cap that is not set is left out. */
export async function listLimits(ports: Pick<Ports, "db" | "clock">, caller: Caller): Promise<LimitList> {
  const { accountId, keyId } = caller;
  const day = utcDay(ports.clock.now());
  const [account, key, accountSpent, keySpent, inFlight] = await Promise.all([
    findAccount(ports.db, accountId),
    findApiKey(ports.db, keyId),
    findSpent(ports.db, accountId, day),
    findSpent(ports.db, keyId, day),
    findInFlight(ports.db, accountId),
  ]);
  const resets_at = timestamp((day + 1) * DAY_MS);
  const cap = (name: "account_daily_cap" | "key_daily_cap", value: number | null | undefined, used: number) =>
    value === null || value === undefined ? [] : [{ name, value, used, resets_at }];
  return {
    data: [
      ...cap("account_daily_cap", account?.dailyCapMicros, accountSpent),
      ...cap("key_daily_cap", key?.dailyCapMicros, keySpent),
      { name: "max_in_flight", value: account?.maxInFlight ?? 0, used: inFlight, resets_at: null },
    ],
  };
}
