import { createRoute } from "@hono/zod-openapi";
import {
  listTriggerDeliveriesSchema,
  TRIGGER_LIMITS,
  triggerDeliveryPageSchema,
} from "../../../shared/contract/triggers.ts";
import type { EdgeApp } from "../../context.ts";
import { listTriggerDeliveries } from "../../services/triggers/log.ts";
import { getTrigger } from "../../services/triggers/manage.ts";
import { BEARER, idParam, json, NO_STORE, problems } from "../responses.ts";

const list = createRoute({
  method: "get",
  path: "/v1/triggers/{id}/deliveries",
  operationId: "listTriggerDeliveries",
  summary: "What was posted to a trigger and what became of it, newest first",
  description:
    `The newest ${TRIGGER_LIMITS.deliveriesKept} of the last 30 days, without their bodies. Those that ordered a clip go ` +
    "when the clip is deleted.",
  security: BEARER,
  request: { params: idParam("trigger"), query: listTriggerDeliveriesSchema },
  responses: {
    200: json(triggerDeliveryPageSchema, "A page of deliveries"),
    ...problems("invalid_request", "not_found"),
  },
});

export function registerTriggerDeliveries(app: EdgeApp): void {
  app.openapi(list, async (c) => {
    const ports = c.get("ports");
    const { id } = await getTrigger(ports, c.get("caller").accountId, c.req.valid("param").id);
    return c.json(await listTriggerDeliveries(ports, id, c.req.valid("query")), 200, NO_STORE);
  });
}
