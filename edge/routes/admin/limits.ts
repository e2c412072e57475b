// The operator's route for what accounts may spend and have in flight, and whether their prompts may be logged.
import { createRoute } from "@hono/zod-openapi";
import { accountLimitsSchema, limitedAccountSchema } from "../../../shared/contract/admin.ts";
import { micros } from "../../../shared/pricing.ts";
import type { EdgeApp } from "../../context.ts";
import { setAccountLimits } from "../../services/accounts/limit.ts";
import { idParam, json, jsonBody, problems } from "../responses.ts";

const route = createRoute({
  method: "patch",
  path: "/admin/v1/accounts/{id}",
  hide: true,
  request: { params: idParam("account"), ...jsonBody(accountLimitsSchema) },
  responses: {
    200: json(limitedAccountSchema, "The account with its limits"),
    ...problems("unauthenticated", "not_found", "invalid_request"),
  },
});

export function registerAdminLimits(app: EdgeApp): void {
  app.openapi(route, async (c) => {
    const { daily_cap_micros: cap, max_in_flight: maxInFlight, log_prompts: logPrompts } = c.req.valid("json");
    const account = await setAccountLimits(c.get("ports"), c.req.valid("param").id, {
      ...(cap !== undefined && { dailyCapMicros: cap === null ? null : micros(cap) }),
      ...(maxInFlight !== undefined && { maxInFlight }),
      ...(logPrompts !== undefined && { logPrompts }),
    });
    const { id, name, dailyCapMicros } = account;
    const limited = { daily_cap_micros: dailyCapMicros, max_in_flight: account.maxInFlight };
    return c.json({ id, name, ...limited, log_prompts: account.logPrompts }, 200);
  });
}
