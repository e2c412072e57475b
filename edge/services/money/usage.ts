// What an account has spent, by UTC day, model and API key: a fold of the ledger, so it adds up to the statement.
import { foldUsage } from "../../../db/queries/accounting.ts";
import type { Usage } from "../../../shared/contract/accounting.ts";
import { DAY_MS, formatDay, utcDay } from "../../../shared/days.ts";
import { ApiError } from "../../../shared/errors.ts";
import type { AccountId } from "../../../shared/ids.ts";
import type { Ports } from "../ports.ts";

/** Days that one answer covers at most: a quarter. */
export const MAX_USAGE_DAYS = 92;
const DEFAULT_USAGE_DAYS = 30;

export interface DaySpan {
  /** Days since 1970, both included; the last 30 days if absent. */
  readonly from: number | undefined;
  readonly to: number | undefined;
}

export async function getUsage(
  ports: Pick<Ports, "db" | "clock">,
  accountId: AccountId,
  span: DaySpan,
): Promise<Usage> {
  const to = span.to ?? utcDay(ports.clock.now());
  const from = span.from ?? to - DEFAULT_USAGE_DAYS + 1;
  if (from > to || to - from >= MAX_USAGE_DAYS) {
    const detail = `from and to must be in order and at most ${MAX_USAGE_DAYS} days, not ${formatDay(from)} to ${formatDay(to)}.`;
    throw new ApiError("invalid_request", detail);
  }
  const rows = await foldUsage(ports.db, accountId, { fromMs: from * DAY_MS, untilMs: (to + 1) * DAY_MS });
  const data = rows.map((row) => ({
    day: formatDay(row.day),
    model: row.model,
    key_id: row.keyId,
    clips: row.clips,
    captured_micros: row.capturedMicros,
    refunded_micros: row.refundedMicros,
    net_micros: row.capturedMicros - row.refundedMicros,
  }));
  const sum = (of: (row: (typeof data)[number]) => number) => data.reduce((total, row) => total + of(row), 0);
  return {
    from: formatDay(from),
    to: formatDay(to),
    data,
    total: {
      clips: sum((row) => row.clips),
      captured_micros: sum((row) => row.captured_micros),
      refunded_micros: sum((row) => row.refunded_micros),
      net_micros: sum((row) => row.net_micros),
    },
  };
}
