// A deployment without a Stripe account takes no payments, and says which settings would change that.
import { ApiError } from "../../../shared/errors.ts";
import type { Payments, Ports } from "../ports.ts";

/** Throws not_found where the deployment takes no payments. */
export function requirePayments({ payments }: Pick<Ports, "payments">): Payments {
  if (payments !== null) return payments;
  const detail =
    "This deployment takes no payments; its settings STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET would name an account.";
  throw new ApiError("not_found", detail);
}
