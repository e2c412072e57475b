import { createRoute } from "@hono/zod-openapi";
import { auditPageSchema, listAuditSchema } from "../../../shared/contract/audit.ts";
import type { EdgeApp } from "../../context.ts";
import { listAudit } from "../../services/audit.ts";
import { BEARER, json, NO_STORE, problems } from "../responses.ts";

const route = createRoute({
  method: "get",
  path: "/v1/audit-log",
  operationId: "listAuditLog",
  summary: "Who did what to the account's keys and money, newest first",
  description: "Kept for as long as the account is. It holds no secret and no prompt.",
  security: BEARER,
  request: { query: listAuditSchema },
  responses: { 200: json(auditPageSchema, "A page of entries"), ...problems("invalid_request") },
});

export function registerListAudit(app: EdgeApp): void {
  app.openapi(route, async (c) => {
    const page = await listAudit(c.get("ports"), c.get("caller").accountId, c.req.valid("query"));
    return c.json(page, 200, NO_STORE);
  });
}
