// Where Stripe sends its events. Not under /v1: who calls is known by the signature over the raw body, not by a key.
// Whatever was written down is answered 200; any other answer makes Stripe send the event again.
import type { EdgeApp } from "../../context.ts";
import { requirePayments } from "../../services/payments/off.ts";
import { receiveEvent } from "../../services/payments/receive.ts";

export const STRIPE_WEBHOOK_PATH = "/integrations/stripe/events";

export function registerStripe(app: EdgeApp): void {
  app.post(STRIPE_WEBHOOK_PATH, async (c) => {
    const ports = c.get("ports");
    const payments = requirePayments(ports);
    const event = await payments.readEvent(await c.req.text(), c.req.header("stripe-signature"), ports.clock.now());
    return c.json({ outcome: await receiveEvent(ports, event) });
  });
}
