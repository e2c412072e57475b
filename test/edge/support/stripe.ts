// Stripe's double where the Worker's own fetch finds it.
import { vi } from "vitest";
import { stripePayments } from "../../../edge/platform/stripe.ts";
import type { Payments } from "../../../edge/services/ports.ts";
import { readSettings } from "../../../edge/settings.ts";
import { StripeDouble } from "../../support/stripe/double.ts";
import { env } from "./env.ts";

/** What goes to its address meets the double, all else the network as before; until `vi.unstubAllGlobals`. */
export function openStripe(): StripeDouble {
  const stripe = new StripeDouble();
  const network = globalThis.fetch;
  vi.stubGlobal("fetch", async (input: RequestInfo | URL, init?: RequestInit) => {
    const request = new Request(input, init);
    return new URL(request.url).origin === stripe.settings.STRIPE_API_URL
      ? await stripe.handle(request)
      : await network(request);
  });
  return stripe;
}

export function paymentsBy(stripe: StripeDouble): Payments {
  const payments = stripePayments(readSettings({ ...env, ...stripe.settings }));
  if (payments === null) throw new Error("the settings name no Stripe account");
  return payments;
}
