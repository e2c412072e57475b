// The operator's view of the audit log: of all accounts, or of one.
import { createRoute } from "@hono/zod-openapi";
import { auditPageSchema, listAuditSchema } from "../../../shared/contract/audit.ts";
import { idSchema } from "../../../shared/ids.ts";
import type { EdgeApp } from "../../context.ts";
import { listAudit } from "../../services/audit.ts";
import { json, NO_STORE, problems } from "../responses.ts";

const route = createRoute({
  method: "get",
  path: "/admin/v1/audit-log",
  hide: true,
  request: { query: listAuditSchema.extend({ account: idSchema("account").optional() }) },
  responses: {
    200: json(auditPageSchema, "A page of entries, newest first"),
    ...problems("unauthenticated", "invalid_request"),
  },
});

export function registerAdminAudit(app: EdgeApp): void {
  app.openapi(route, async (c) => {
    const { account, ...page } = c.req.valid("query");
    return c.json(await listAudit(c.get("ports"), account ?? null, page), 200, NO_STORE);
  });
}
