// Mistakes with money that comes in: what is credited, how often, and what is charged.
import { type Mutant, one } from "./mutant.ts";

const CHARGE = "edge/services/payments/charge.ts";
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
    "a card is charged by settings that its owner has changed since",
    "db/queries/payments/auto.ts",
    "from ${autoTopUps} where ${isDueAs(settings)} and",
    "from ${autoTopUps} where ${isDue(accountId)} and",
    549,
  ),
  one(
    "the month's cap is looked at before a charge is written, and not again",
    "db/queries/payments/auto.ts",
    " and ${hasRoom}`",
    "`",
    2143,
  ),
  one(
    "nobody is told that charging has stopped",
    CHARGE,
    "[stopped, ...told.statements, closeTopUp(",
    "[stopped, closeTopUp(",
  ),
];
