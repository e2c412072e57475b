// Mistakes with money that comes in: what is credited, how often, and what is charged.
import { type Mutant, one } from "./mutant.ts";

const RECEIVE = "edge/services/payments/receive.ts";
const CHARGE = "edge/services/payments/charge.ts";
const AUTO = "db/queries/payments/auto.ts";
const BOOKING = "db/queries/payments/booking.ts";
const FACTS = "db/queries/payments/facts.ts";

export const PAYMENT_MUTANTS: readonly Mutant[] = [
  one(
    "a payment is booked although it is booked",
    BOOKING,
    "sql`(${topUps.amountMicros} - ${stripePayments.bookedPaidMicros})`",
    "sql`${topUps.amountMicros}`",
  ),
  one("a refund is booked as if it were the first", BOOKING, "(${stripePayments.bookedRefundedMicros} - ", "(0 - "),
  one(
    "a refund that is told late takes less than was paid back",
    FACTS,
    "sql`max(${stripePayments.refundedMicros}, excluded.refunded_micros)`",
    "sql`excluded.refunded_micros`",
  ),
  one(
    "a dispute that was won is lost again when its beginning is told late",
    FACTS,
    "sql`max(${stripeDisputes.reinstated}, excluded.reinstated)`",
    "sql`excluded.reinstated`",
  ),
  one(
    "a loss that is more than what is left is not booked",
    BOOKING,
    "min(${balances.floorMicros}, ${balances.postedMicros} + ${moved} - ${balances.pendingMicros})",
    "${balances.floorMicros}",
  ),
  one(
    "each try to charge is a charge of its own",
    CHARGE,
    "row.topUpId === null ? await begin(ports, row, now) : await findTopUp(ports.db, row.topUpId)",
    "await begin(ports, row, now)",
  ),
  one(
    "two Outboxes begin a charge each",
    AUTO,
    'and(eq(autoTopUps.accountId, accountId), eq(autoTopUps.state, "due"))',
    "eq(autoTopUps.accountId, accountId)",
  ),
  one("the month's cap is not looked at", CHARGE, "charged + amountMicros > monthlyCapMicros", "false"),
  one(
    "a charge whose end is unknown does not count against the month",
    AUTO,
    'ne(topUps.state, "failed")',
    'eq(topUps.state, "paid")',
  ),
  one(
    "a card that was declined is charged again",
    CHARGE,
    'if (outcome.kind === "declined") await',
    'if (Date.now() < 0 && outcome.kind === "declined") await',
  ),
  one(
    "money that is taken back has the card charged anew",
    RECEIVE,
    "[...facts, ...booked, ...stopped]",
    "[...facts, ...booked]",
  ),
  one(
    "nobody is told that charging has stopped",
    CHARGE,
    "[stopped, ...told.statements, closeTopUp(",
    "[stopped, closeTopUp(",
  ),
  one("a charge that is due is never made", "edge/services/sweep.ts", "  wakeCharges,\n", ""),
];
