// What the routes of top-ups, automatic top-ups and Stripe's events do: tell who asks, and call the service.

import { verifyKey } from "../../../edge/services/keys/verify.ts";
import { endAutoTopUp, setAutoTopUp } from "../../../edge/services/payments/auto-top-up.ts";
import { requirePayments } from "../../../edge/services/payments/off.ts";
import { receiveEvent } from "../../../edge/services/payments/receive.ts";
import { createTopUp } from "../../../edge/services/payments/top-ups.ts";
import type { Ports } from "../../../edge/services/ports.ts";
import type { Answers, Requests } from "./operation.ts";

export const PAYMENT_KINDS = ["top_up", "set_auto_top_up", "end_auto_top_up", "stripe_event"] as const;
export type PaymentKind = (typeof PAYMENT_KINDS)[number];

type Routes = { readonly [K in PaymentKind]: (request: Requests[K]) => Promise<Answers[K]> };

export function paymentRoutes(ports: () => Ports): Routes {
  return {
    top_up: async ({ key, body, idempotencyKey }) =>
      await createTopUp(ports(), await verifyKey(ports(), key), body, idempotencyKey),
    set_auto_top_up: async ({ key, settings }) => await setAutoTopUp(ports(), await verifyKey(ports(), key), settings),
    end_auto_top_up: async ({ key }) => await endAutoTopUp(ports(), await verifyKey(ports(), key)),
    stripe_event: async ({ body, signature }) => {
      const event = await requirePayments(ports()).readEvent(body, signature, ports().clock.now());
      return await receiveEvent(ports(), event);
    },
  };
}
