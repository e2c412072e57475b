// What an order would come to if it were sent now: its price, its wait, and what would refuse it. It only reads, so
// another order may come first; what stands is what the order itself is answered.
import { findAccount, findBalance } from "../../../db/queries/accounts.ts";
import { findApiKey } from "../../../db/queries/keys.ts";
import { findInFlight, findSpent } from "../../../db/queries/limits.ts";
import { findNextTurn } from "../../../db/queries/queue.ts";
import type { CreateClip, Estimate } from "../../../shared/contract/clips.ts";
import { utcDay } from "../../../shared/days.ts";
import { ERRORS } from "../../../shared/errors.ts";
import { firstIdAt } from "../../../shared/ids.ts";
import { micros } from "../../../shared/pricing.ts";
import type { Caller } from "../keys/verify.ts";
import type { Ports } from "../ports.ts";
import { expectPlace } from "./place.ts";
import { quoteClip } from "./quote.ts";
import { LimitError, type Order, refusalBy } from "./refusal.ts";

type Source = Pick<Ports, "db" | "clock" | "times">;

/** Throws what the order would be refused by whoever sent it: prompt_empty, model_unknown, frames_invalid ... */
export async function estimateClip(ports: Source, caller: Caller, request: CreateClip): Promise<Estimate> {
  const { model, size, frames, priceMicros } = quoteClip(request);
  const { n = 1, priority } = request;
  const now = ports.clock.now();
  const order = { clips: n, priceMicros: micros(n * priceMicros), createdAtMs: now };
  const flow = { accountId: caller.accountId, model: model.id, priority, priceMicros };
  const [turn, refusal] = await Promise.all([findNextTurn(ports.db, flow), foreseeRefusal(ports, caller, order)]);
  // After every clip of the same turn: those were ordered before.
  const place = await expectPlace(ports, { model: model.id, turn, id: firstIdAt("clip", now + 1) });
  return {
    object: "estimate",
    model: model.id,
    size,
    frames,
    n,
    price_micros: priceMicros,
    total_price_micros: order.priceMicros,
    queue: { position: place.position, expected_wait_s: place.waitMs === null ? null : place.waitMs / 1_000 },
    refusal,
  };
}

async function foreseeRefusal(ports: Source, caller: Caller, order: Order): Promise<Estimate["refusal"]> {
  const constraint = await findViolated(ports, caller, order);
  const refusal = constraint === null ? null : await refusalBy(ports, caller, order, constraint);
  if (refusal === null) return null;
  return {
    code: refusal.code,
    detail: refusal.message,
    retryable: ERRORS[refusal.code].retryable,
    ...(refusal instanceof LimitError && { limit: refusal.limit }),
  };
}

/** The constraint that would abort the order's batch: the first clip that does not fit, by the batch's order. */
async function findViolated(ports: Source, { accountId, keyId }: Caller, order: Order): Promise<string | null> {
  const day = utcDay(order.createdAtMs);
  const [balance, account, key, accountSpent, keySpent, inFlight] = await Promise.all([
    findBalance(ports.db, accountId),
    findAccount(ports.db, accountId),
    findApiKey(ports.db, keyId),
    findSpent(ports.db, accountId, day),
    findSpent(ports.db, keyId, day),
    findInFlight(ports.db, accountId),
  ]);
  const available = balance === undefined ? 0 : balance.postedMicros - balance.pendingMicros;
  for (let clips = 1; clips <= order.clips; clips++) {
    const price = (order.priceMicros / order.clips) * clips;
    if (price > available) return "balance_covers_holds";
    if (accountSpent + price > (account?.dailyCapMicros ?? Number.POSITIVE_INFINITY)) return "account_daily_cap";
    if (keySpent + price > (key?.dailyCapMicros ?? Number.POSITIVE_INFINITY)) return "key_daily_cap";
    if (inFlight + clips > (account?.maxInFlight ?? 0)) return "in_flight_allowed";
  }
  return null;
}
