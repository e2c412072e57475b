// The operator's routes for what accounts and keys may spend and have in flight.
import { createRoute } from "@hono/zod-openapi";
import {
  accountLimitsSchema,
  keyLimitsSchema,
  limitedAccountSchema,
  limitedKeySchema,
} from "../../../shared/contract/admin.ts";
import { micros } from "../../../shared/pricing.ts";
import type { EdgeApp } from "../../context.ts";
import { setAccountLimits } from "../../services/accounts/limit.ts";
import { setKeyCap } from "../../services/keys/limit.ts";
import { idParam, json, jsonBody, problems } from "../responses.ts";

const refusals = problems("unauthenticated", "not_found", "invalid_request");

const accountRoute = createRoute({
  method: "patch",
  path: "/admin/v1/accounts/{id}",
  hide: true,
  request: { params: idParam("account"), ...jsonBody(accountLimitsSchema) },
  responses: { 200: json(limitedAccountSchema, "The account with its limits"), ...refusals },
});

const keyRoute = createRoute({
  method: "patch",
  path: "/admin/v1/keys/{id}",
  hide: true,
  request: { params: idParam("key"), ...jsonBody(keyLimitsSchema) },
  responses: { 200: json(limitedKeySchema, "The key with its cap"), ...refusals },
});

export function registerAdminLimits(app: EdgeApp): void {
  app.openapi(accountRoute, async (c) => {
    const { daily_cap_micros: cap, max_in_flight: maxInFlight } = c.req.valid("json");
    const account = await setAccountLimits(c.get("ports"), c.req.valid("param").id, {
      ...(cap !== undefined && { dailyCapMicros: cap === null ? null : micros(cap) }),
      ...(maxInFlight !== undefined && { maxInFlight }),
    });
    const { id, name, dailyCapMicros } = account;
    return c.json({ id, name, daily_cap_micros: dailyCapMicros, max_in_flight: account.maxInFlight }, 200);
  });
  app.openapi(keyRoute, async (c) => {
    const { daily_cap_micros: cap } = c.req.valid("json");
    const key = await setKeyCap(c.get("ports"), c.req.valid("param").id, cap === null ? null : micros(cap));
    return c.json({ id: key.id, prefix: key.shownPrefix, daily_cap_micros: key.dailyCapMicros }, 200);
  });
}
