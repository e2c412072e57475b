// Why an order did not fit: from the constraint that aborted its batch to an answer that names the limit, its
// value and when it will be another. The numbers are read after the fact and may have moved on; the refusal has not.
import { violatedConstraint } from "../../../db/database.ts";
import { findAccount } from "../../../db/queries/accounts.ts";
import { findApiKey } from "../../../db/queries/keys.ts";
import { findSpent } from "../../../db/queries/limits.ts";
import type { Limit, LimitName } from "../../../shared/contract/limits.ts";
import { DAY_MS, utcDay } from "../../../shared/days.ts";
import { ApiError, type ErrorCode } from "../../../shared/errors.ts";
import type { Micros } from "../../../shared/pricing.ts";
import type { Caller } from "../keys/verify.ts";
import type { Ports } from "../ports.ts";
import { timestamp } from "./view.ts";

/** A refusal that passes: it says which limit was reached and when to come back. */
export class LimitError extends ApiError {
  readonly limit: Limit;
  readonly retryAfterS: number;

  constructor(code: ErrorCode, detail: string, limit: Limit, retryAfterS: number) {
    super(code, detail);
    this.limit = limit;
    this.retryAfterS = retryAfterS;
  }
}

/** A clip ends every few seconds; nobody knows when the next one does. */
const IN_FLIGHT_RETRY_S = 5;

type Source = Pick<Ports, "db" | "clock">;

/** What did not fit, as a whole. */
export interface Order {
  readonly clips: number;
  readonly priceMicros: Micros;
  readonly createdAtMs: number;
}

/** The refusal that this error stands for, or null if it is no limit's. */
export async function refusalOf(ports: Source, caller: Caller, order: Order, error: unknown): Promise<ApiError | null> {
  const constraint = violatedConstraint(error);
  return constraint === null ? null : await refusalBy(ports, caller, order, constraint);
}

/** What an order is answered that this constraint refuses, or null if it is no limit's. */
export async function refusalBy(
  ports: Source,
  caller: Caller,
  order: Order,
  constraint: string,
): Promise<ApiError | null> {
  switch (constraint) {
    case "balance_covers_holds":
      return new ApiError(
        "insufficient_balance",
        `${costs(order)} ${order.priceMicros} micro-dollars, more than is available.`,
      );
    case "account_daily_cap": {
      const cap = (await findAccount(ports.db, caller.accountId))?.dailyCapMicros ?? 0;
      return await capExceeded(ports, order, "account_daily_cap", cap, caller.accountId);
    }
    case "key_daily_cap": {
      const cap = (await findApiKey(ports.db, caller.keyId))?.dailyCapMicros ?? 0;
      return await capExceeded(ports, order, "key_daily_cap", cap, caller.keyId);
    }
    case "in_flight_allowed": {
      const value = (await findAccount(ports.db, caller.accountId))?.maxInFlight ?? 0;
      const detail = `The account may have ${value} clips in flight; order again when one has ended.`;
      return new LimitError(
        "too_many_in_flight",
        detail,
        { name: "max_in_flight", value, resets_at: null },
        IN_FLIGHT_RETRY_S,
      );
    }
    case "browser_token_clips":
      return new ApiError("token_spent", "The browser token has ordered all the clips that it may; get a new one.");
    default:
      return null;
  }
}

function costs({ clips }: Order): string {
  return clips === 1 ? "The clip costs" : `The ${clips} clips cost`;
}

async function capExceeded(
  ports: Source,
  order: Order,
  name: Extract<LimitName, "account_daily_cap" | "key_daily_cap">,
  value: number,
  spender: Caller["accountId"] | Caller["keyId"],
): Promise<LimitError> {
  const day = utcDay(order.createdAtMs);
  const resetsAtMs = (day + 1) * DAY_MS;
  const spent = await findSpent(ports.db, spender, day);
  const whose = name === "key_daily_cap" ? "API key" : "account";
  const detail =
    `${costs(order)} ${order.priceMicros} micro-dollars; of the ${value} that this ${whose} may spend in a day (UTC), ` +
    `${spent} are spent.`;
  const retryAfterS = Math.max(1, Math.ceil((resetsAtMs - ports.clock.now()) / 1_000));
  return new LimitError("cap_exceeded", detail, { name, value, resets_at: timestamp(resetsAtMs) }, retryAfterS);
}
