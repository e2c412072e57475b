// Where other systems post. The URL is the secret; nothing of a request is validated before it is known, so that whoever has
// not the URL finds the same as at any address that has nothing.
import * as z from "zod";
import { TRIGGER_LIMITS, triggeredSchema } from "../../../shared/contract/triggers.ts";
import type { EdgeApp } from "../../context.ts";
import { requireTriggerUrl } from "../../middleware/authentication.ts";
import { limitTriggerRate } from "../../middleware/rate-limit.ts";
import { deliver } from "../../services/triggers/deliver.ts";
import { DELIVERY_KEY_HEADERS } from "../../services/triggers/delivery-key.ts";
import { json, NO_STORE, problems, TRIGGER_ORDER_REFUSALS } from "../responses.ts";

const anything = z.unknown().meta({ description: "What the trigger's template takes from" });

export function registerDeliver(app: EdgeApp): void {
  app.openAPIRegistry.registerPath({
    method: "post",
    path: "/t/{token}",
    operationId: "deliver",
    summary: "Post to a trigger",
    description:
      "By the URL of a trigger alone, and by the sender's signature if the trigger asks for one; without either, `not_found`. " +
      `The same delivery again, by the first of ${DELIVERY_KEY_HEADERS.join(", ")}, orders nothing more for 24 hours.`,
    security: [],
    request: {
      params: z.object({ token: z.string() }),
      body: {
        required: true,
        description: `At most ${TRIGGER_LIMITS.bodyBytes} bytes; of a form, its fields, or the JSON in its one field \`payload\``,
        content: {
          "application/json": { schema: anything },
          "application/x-www-form-urlencoded": { schema: anything },
        },
      },
    },
    responses: {
      200: json(triggeredSchema, "The trigger makes no clip of such a delivery: its `when` is not met"),
      202: json(triggeredSchema, "The clip is ordered, or was by the same delivery before (`Idempotent-Replayed`)"),
      ...problems(...TRIGGER_ORDER_REFUSALS, "not_found", "body_too_large", "rate_limited", "headers_too_large"),
    },
  });

  app.post("/t/:token", requireTriggerUrl, limitTriggerRate, async (c) => {
    // To the byte, as it was signed: refused above if it is no text, and with its byte order mark if it has one.
    const body = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true }).decode(await c.req.arrayBuffer());
    const posted = { header: (name: string) => c.req.header(name) ?? null, body };
    const { clip_id, outcome } = await deliver(c.get("ports"), c.get("trigger"), posted);
    const headers = { ...NO_STORE, ...(outcome === "repeated" && { "idempotent-replayed": "true" }) };
    return c.json({ clip_id }, outcome === "skipped" ? 200 : 202, headers);
  });
}
