// The operator's route for giving a charge back.
import { createRoute } from "@hono/zod-openapi";
import * as z from "zod";
import { refundReplySchema, refundSchema } from "../../../shared/contract/admin.ts";
import { micros } from "../../../shared/pricing.ts";
import type { EdgeApp } from "../../context.ts";
import { refundClip } from "../../services/money/refund.ts";
import { idempotencyKey, idParam, json, jsonBody, problems, requireKey } from "../responses.ts";

const route = createRoute({
  method: "post",
  path: "/admin/v1/clips/{id}/refunds",
  hide: true,
  request: {
    params: idParam("clip"),
    headers: z.object({ "idempotency-key": idempotencyKey }),
    ...jsonBody(refundSchema),
  },
  responses: {
    201: json(refundReplySchema, "The charge, or the part of it, is refunded"),
    ...problems(
      "unauthenticated",
      "not_found",
      "invalid_request",
      "not_refundable",
      "idempotency_in_flight",
      "idempotency_mismatch",
    ),
  },
});

export function registerAdminRefunds(app: EdgeApp): void {
  app.openapi(route, async (c) => {
    const { amount_micros: amount, reason, idempotency_key } = c.req.valid("json");
    const answer = await refundClip(c.get("ports"), {
      clipId: c.req.valid("param").id,
      amountMicros: amount === undefined ? null : micros(amount),
      reason,
      idempotencyKey: requireKey(c.req.valid("header")["idempotency-key"] ?? idempotency_key),
    });
    return c.json(refundReplySchema.parse(JSON.parse(answer)), 201);
  });
}
