// What the routes of edge/routes/webhooks do: tell who asks, and call the service.

import { verifyKey } from "../../../edge/services/keys/verify.ts";
import type { Ports } from "../../../edge/services/ports.ts";
import { replayMessage } from "../../../edge/services/webhooks/deliveries.ts";
import {
  changeEndpoint,
  createEndpoint,
  removeEndpoint,
  rotateEndpointSecret,
  sendTest,
} from "../../../edge/services/webhooks/endpoints.ts";
import { rotateSecret } from "../../../edge/services/webhooks/secrets.ts";
import type { Answers, Requests } from "./operation.ts";

export const WEBHOOK_KINDS = [
  "create_endpoint",
  "switch_endpoint",
  "delete_endpoint",
  "rotate_secret",
  "send_test",
  "replay_message",
] as const;
export type WebhookKind = (typeof WEBHOOK_KINDS)[number];

type Routes = { readonly [K in WebhookKind]: (request: Requests[K]) => Promise<Answers[K]> };

export function webhookRoutes(ports: () => Ports): Routes {
  const accountOf = async (key: string) => (await verifyKey(ports(), key)).accountId;
  return {
    create_endpoint: async ({ key, url, events }) =>
      await createEndpoint(ports(), await accountOf(key), { url, events: events === null ? null : [...events] }),
    switch_endpoint: async ({ key, endpointId, enabled }) =>
      await changeEndpoint(ports(), await accountOf(key), endpointId, { enabled }),
    delete_endpoint: async ({ key, endpointId }) => {
      await removeEndpoint(ports(), await accountOf(key), endpointId);
      return null;
    },
    rotate_secret: async ({ key, endpointId, overlapMs }) => {
      const accountId = await accountOf(key);
      if (endpointId === null) return await rotateSecret(ports(), accountId, overlapMs);
      return await rotateEndpointSecret(ports(), accountId, endpointId, overlapMs);
    },
    send_test: async ({ key, endpointId }) => await sendTest(ports(), await accountOf(key), endpointId),
    replay_message: async ({ key, eventId }) => await replayMessage(ports(), await accountOf(key), eventId),
  };
}
